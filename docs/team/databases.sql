-- Two databases for a team: one for studies, one for MLflow. Each has an owner of its own, because
-- each makes its tables itself. Run once, as a superuser of the server, for instance
--
--   sudo -u postgres psql -v ON_ERROR_STOP=1 -v mlflow_password="$(openssl rand -hex 16)" \
--        -v runner_password="$(openssl rand -hex 16)" -f databases.sql
--
-- and note the passwords first (here: print them into variables of your shell).
CREATE ROLE runner LOGIN PASSWORD :'runner_password';
CREATE DATABASE runner OWNER runner;
REVOKE ALL ON DATABASE runner FROM PUBLIC;

CREATE ROLE mlflow LOGIN PASSWORD :'mlflow_password';
CREATE DATABASE mlflow OWNER mlflow;
REVOKE ALL ON DATABASE mlflow FROM PUBLIC;
