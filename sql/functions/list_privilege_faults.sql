-- list_privilege_faults
-- Lists where the privileges of Parley's objects are not those that needed_privileges and their owners need.
--
-- Parley's objects are those whose comment begins with "Parley:", with the sequences and the row types of its tables.
-- On them nobody but the owner and parley_app may do anything, PUBLIC included. Default privileges of the application's
-- or its host's would give more or less than that, and a dump without privileges has none. Of the schema and of an
-- application's own table only that is a fault which parley_app lacks: who else uses them is the application's matter.
--
-- Returns a row for each privilege of a role on an object: object_name (with its kind and schema), grantee (the role,
-- quoted; PUBLIC), privilege, with columns in brackets; is_missing (false: nobody but the owner should have it), cure
-- (the statement that takes it back or grants it).
-- Index pg_class_oid_index, pg_attribute_relid_attnum_index, pg_description_o_c_o_index: the catalog of one schema.
CREATE OR REPLACE FUNCTION list_privilege_faults()
RETURNS TABLE (object_name text, grantee text, privilege text, is_missing boolean, cure text)
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
-- A table and the type of its rows have one name: only what differs is looked up.
#variable_conflict use_column
DECLARE
    home CONSTANT oid := current_schema()::regnamespace;
    app CONSTANT oid := to_regrole('parley_app');
BEGIN
    RETURN QUERY
    WITH own_tables AS MATERIALIZED (
        SELECT pg_class.oid, pg_class.relname, pg_class.relowner, pg_class.relacl, pg_class.reltype
        FROM pg_class
        INNER JOIN pg_description
            ON
                pg_class.oid = pg_description.objoid
                AND pg_description.classoid = 'pg_class'::regclass
                AND pg_description.objsubid = 0
        WHERE
            pg_class.relnamespace = home
            AND pg_class.relkind IN ('r', 'p', 'v', 'm', 'f')
            AND pg_description.description LIKE 'Parley:%'
    ),

    own_objects AS MATERIALIZED (
        SELECT
            'table' AS kind, own_tables.oid, own_tables.relowner AS owner,
            coalesce(own_tables.relacl, acldefault('r', own_tables.relowner)) AS acl,
            acldefault('r', own_tables.relowner) AS own_acl
        FROM own_tables
        UNION ALL
        SELECT
            'sequence', pg_class.oid, pg_class.relowner,
            coalesce(pg_class.relacl, acldefault('s', pg_class.relowner)),
            acldefault('s', pg_class.relowner)
        FROM own_tables
        INNER JOIN pg_depend
            ON
                own_tables.oid = pg_depend.refobjid
                AND pg_depend.refclassid = 'pg_class'::regclass
                AND pg_depend.classid = 'pg_class'::regclass
                AND pg_depend.deptype IN ('a', 'i')
        INNER JOIN pg_class ON pg_depend.objid = pg_class.oid
        WHERE pg_class.relkind = 'S'
        UNION ALL
        SELECT
            'type', pg_type.oid, pg_type.typowner,
            coalesce(pg_type.typacl, acldefault('T', pg_type.typowner)),
            acldefault('T', pg_type.typowner)
        FROM own_tables
        INNER JOIN pg_type ON own_tables.reltype = pg_type.oid
        UNION ALL
        SELECT
            'function', pg_proc.oid, pg_proc.proowner,
            coalesce(pg_proc.proacl, acldefault('f', pg_proc.proowner)),
            acldefault('f', pg_proc.proowner)
        FROM pg_proc
        INNER JOIN pg_description
            ON
                pg_proc.oid = pg_description.objoid
                AND pg_description.classoid = 'pg_proc'::regclass
                AND pg_description.objsubid = 0
        WHERE pg_proc.pronamespace = home AND pg_description.description LIKE 'Parley:%'
    ),

    needed AS MATERIALIZED (
        SELECT
            needs.object_kind AS kind, needs.object AS oid, needs.column_name, app AS role, needs.privilege
        FROM needed_privileges() AS needs
    ),

    -- What parley_app needs, and all for each owner: a default may have taken that from it as well.
    expected AS (
        SELECT needed.kind, needed.oid, needed.column_name, needed.role, needed.privilege FROM needed
        UNION ALL
        SELECT own_objects.kind, own_objects.oid, NULL, own_objects.owner, rights.privilege_type
        FROM own_objects
        CROSS JOIN aclexplode(own_objects.own_acl) AS rights
        WHERE rights.grantee = own_objects.owner
    ),

    found AS MATERIALIZED (
        SELECT
            own_objects.kind, own_objects.oid, NULL AS column_name, rights.grantee AS role,
            rights.privilege_type AS privilege, rights.is_grantable, own_objects.owner
        FROM own_objects
        CROSS JOIN aclexplode(own_objects.acl) AS rights
        UNION ALL
        SELECT
            'table', own_tables.oid, pg_attribute.attname::text, rights.grantee,
            rights.privilege_type, rights.is_grantable, own_tables.relowner
        FROM own_tables
        INNER JOIN pg_attribute ON own_tables.oid = pg_attribute.attrelid
        CROSS JOIN aclexplode(pg_attribute.attacl) AS rights
        WHERE pg_attribute.attacl IS NOT NULL
    ),

    faults AS (
        SELECT
            found.kind, found.oid, found.column_name, found.role,
            -- What is needed, but may be passed on.
            CASE WHEN needed.oid IS NOT NULL THEN 'GRANT OPTION FOR ' ELSE '' END || found.privilege AS privilege,
            FALSE AS is_missing
        FROM found
        LEFT JOIN needed
            ON
                found.kind = needed.kind
                AND found.oid = needed.oid
                AND found.role = needed.role
                AND found.privilege = needed.privilege
                AND found.column_name IS NOT DISTINCT FROM needed.column_name
        WHERE found.role <> found.owner AND (found.is_grantable OR needed.oid IS NULL)
        UNION ALL
        SELECT expected.kind, expected.oid, expected.column_name, expected.role, expected.privilege, TRUE
        FROM expected
        INNER JOIN own_objects ON expected.kind = own_objects.kind AND expected.oid = own_objects.oid
        WHERE
            NOT EXISTS (
                SELECT FROM found
                WHERE
                    (found.kind, found.oid, found.role, found.privilege)
                    = (expected.kind, expected.oid, expected.role, expected.privilege)
                    AND (found.column_name IS NULL OR found.column_name = expected.column_name)
            )
        UNION ALL
        SELECT needed.kind, needed.oid, needed.column_name, needed.role, needed.privilege, TRUE
        FROM needed
        WHERE
            NOT EXISTS (
                SELECT FROM own_objects WHERE own_objects.kind = needed.kind AND own_objects.oid = needed.oid
            )
            AND NOT CASE needed.kind
                WHEN 'schema' THEN has_schema_privilege(app, needed.oid, needed.privilege)
                WHEN 'table' THEN has_table_privilege(app, needed.oid, needed.privilege)
                WHEN 'sequence' THEN has_sequence_privilege(app, needed.oid, needed.privilege)
                ELSE has_function_privilege(app, needed.oid, needed.privilege)
            END
    ),

    named AS (
        SELECT
            faults.kind, faults.privilege, faults.is_missing, faults.column_name,
            CASE WHEN faults.role = 0 THEN 'PUBLIC' ELSE coalesce(faults.role::regrole::text, 'parley_app') END
            AS role_name,
            CASE faults.kind
                WHEN 'schema' THEN faults.oid::regnamespace::text
                WHEN 'function' THEN (
                    SELECT
                        format(
                            '%s.%I(%s)',
                            pg_proc.pronamespace::regnamespace,
                            pg_proc.proname,
                            array_to_string(
                                ARRAY(SELECT format_type(kind.oid, NULL) FROM unnest(pg_proc.proargtypes) AS kind (oid)), ', '
                            )
                        )
                    FROM pg_proc WHERE pg_proc.oid = faults.oid
                )
                WHEN 'type' THEN (
                    SELECT format('%s.%I', pg_type.typnamespace::regnamespace, pg_type.typname)
                    FROM pg_type WHERE pg_type.oid = faults.oid
                )
                ELSE (
                    SELECT format('%s.%I', pg_class.relnamespace::regnamespace, pg_class.relname)
                    FROM pg_class WHERE pg_class.oid = faults.oid
                )
            END AS place
        FROM faults
    ),

    gathered AS (
        SELECT
            named.kind, named.place, named.role_name, named.is_missing,
            named.privilege
            || coalesce(' (' || string_agg(quote_ident(named.column_name), ', ' ORDER BY named.column_name) || ')', '')
            AS privilege
        FROM named
        GROUP BY
            named.kind, named.place, named.role_name, named.is_missing, named.privilege,
            named.column_name IS NULL
    )

    SELECT
        gathered.kind || ' ' || gathered.place,
        gathered.role_name,
        gathered.privilege,
        gathered.is_missing,
        CASE
            WHEN gathered.is_missing
                THEN format(
                    'GRANT %s ON %s %s TO %s', gathered.privilege, upper(gathered.kind COLLATE "C"), gathered.place, gathered.role_name
                )
            -- CASCADE: a role with the right to grant it may have done so.
            ELSE format(
                'REVOKE %s ON %s %s FROM %s CASCADE',
                gathered.privilege, upper(gathered.kind COLLATE "C"), gathered.place, gathered.role_name
            )
        END
    FROM gathered
    ORDER BY gathered.is_missing, gathered.kind, gathered.place, gathered.role_name, gathered.privilege;
END
$$;
COMMENT ON FUNCTION list_privilege_faults()
IS 'Parley: privileges on its objects that are missing, or that nobody but their owner should have';
