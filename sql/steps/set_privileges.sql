-- Give parley_app what requests need of Parley's objects, and take everything from everybody else but their owners.
-- Included by migrate.sql and privileges.sql, in their transactions; the path is Parley's schema.
--
-- Privileges are a state, not a history: default privileges, a dump without them, or a GRANT by hand change what a
-- migration has once granted. Only what differs is changed, so the catalog stays as it is where nothing does.

DO $$
DECLARE
    cure text;
    left_over text;
BEGIN
    -- What is too wide first: to take back a privilege on a table takes back those on its columns.
    FOREACH cure IN ARRAY ARRAY(SELECT faults.cure FROM list_privilege_faults() AS faults WHERE NOT faults.is_missing)
    LOOP
        EXECUTE cure;
    END LOOP;
    FOREACH cure IN ARRAY ARRAY(SELECT faults.cure FROM list_privilege_faults() AS faults WHERE faults.is_missing)
    LOOP
        EXECUTE cure;
    END LOOP;
    -- Postgres only warns where the role may not grant.
    SELECT string_agg(faults.cure, '; ') INTO left_over FROM list_privilege_faults() AS faults;
    IF left_over IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = format('the role "%s" may not set all privileges that Parley needs', current_user),
            HINT = format('Have the owner of these objects or an administrator run: %s', left_over);
    END IF;
END
$$;
