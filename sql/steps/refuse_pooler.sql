-- Refuse a pooled connection. Included by open.sql.
--
-- A migration needs a session of its own: a lock that it takes and a path that it sets would stay behind in a connection
-- that other clients use. psql names itself in its startup packet; PgBouncer does not pass that on, but sets the name
-- afterwards, so the setting's source tells. Neon's and Supabase's hosts tell by their name and port, and two statements
-- that met two backends tell as well.

DO $$
DECLARE
    pids CONSTANT text[] := string_to_array(current_setting('parley.pids'), ' ');
    host CONSTANT text := current_setting('parley.host');
    is_pooled CONSTANT boolean :=
        host LIKE '%-pooler.%'
        OR (host LIKE '%.pooler.supabase.com' AND current_setting('parley.port') = '6543')
        OR pids[1] <> pids[2]
        OR pg_backend_pid()::text <> pids[2]
        OR EXISTS (SELECT FROM pg_settings WHERE name = 'application_name' AND source = 'session');
BEGIN
    IF is_pooled THEN
        RAISE EXCEPTION USING
            ERRCODE = 'feature_not_supported',
            MESSAGE = 'this connection goes through a pooler, and a migration needs one of its own',
            HINT = 'Nothing was changed. Use the direct URL: psql -X "$DATABASE_URL_UNPOOLED" ... (on Neon the host '
            'without -pooler; on Supabase port 5432). Behind PgBouncer, connect to the server itself.';
    END IF;
END
$$;
