-- Give parley_app what requests need of Parley's objects, and take everything from everybody else but their owners.
-- Included by migrate.sql and privileges.sql, in their transactions; the path is Parley's schema.
--
-- Privileges are a state, not a history: default privileges, a dump without them, or a GRANT by hand change what a
-- migration has once granted. Only what differs is changed, so the catalog stays as it is where nothing does.

DO $$
DECLARE
    are_missing boolean;
    cure text;
    left_over text;
BEGIN
    -- What is too wide first: to take back a privilege on a table takes back those on its columns.
    FOREACH are_missing IN ARRAY ARRAY[FALSE, TRUE] LOOP
        FOREACH cure IN ARRAY ARRAY(
            SELECT faults.cure FROM list_privilege_faults() AS faults WHERE faults.is_missing = are_missing
        ) LOOP
            BEGIN
                EXECUTE cure;
            EXCEPTION
                -- An application's own table may belong to another role. Sometimes Postgres only warns of that.
                WHEN insufficient_privilege THEN NULL;
            END;
        END LOOP;
    END LOOP;
    SELECT string_agg(faults.cure, '; ') INTO left_over FROM list_privilege_faults() AS faults;
    IF left_over IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = format('the role "%s" may not set all privileges that Parley needs', current_user),
            HINT = format('Have the owner of these objects or an administrator run: %s', left_over);
    END IF;
END
$$;
