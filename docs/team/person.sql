-- A role for one person, so that passwords are not shared. What the person's searches make belongs
-- to the role `runner`, as that of everybody else:
--
--   sudo -u postgres psql -v ON_ERROR_STOP=1 -v person=alice < person.sql
--   sudo -u postgres psql -c '\password alice'
CREATE ROLE :"person" LOGIN IN ROLE runner;
ALTER ROLE :"person" IN DATABASE runner SET role = 'runner';
