-- Two databases for a team: one for studies, one for MLflow. Each has an owner of its own, because
-- each makes its tables itself. Run once, as a superuser of the server; the passwords are asked for
-- afterwards, so that no command line, history or log has them:
--
--   sudo -u postgres psql -v ON_ERROR_STOP=1 < databases.sql
--   sudo -u postgres psql -c '\password runner' -c '\password mlflow'
CREATE ROLE runner LOGIN;
CREATE DATABASE runner OWNER runner;
REVOKE ALL ON DATABASE runner FROM PUBLIC;

CREATE ROLE mlflow LOGIN;
CREATE DATABASE mlflow OWNER mlflow;
REVOKE ALL ON DATABASE mlflow FROM PUBLIC;
