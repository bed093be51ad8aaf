-- count_attempt :one
-- Count an attempt to log in or to register, against its e-mail address and against its client.
--
-- Parameters
--   address_subject     text         the address
--   address_per_minute  integer      attempts that it may have in a minute
--   address_per_day     integer      in a day
--   client_subject      text         the client
--   client_per_minute   integer      attempts that it may make in a minute
--   client_per_day      integer      in a day
--   now                 timestamptz  null: the database's clock
--
-- Returns 1 row: is_allowed, and retry_after_seconds (0: it is allowed).
-- Index quotas_pkey (within the function: sql/functions/count_use.sql).
WITH
client_use AS MATERIALIZED (
    SELECT
        counted.is_allowed,
        CASE WHEN counted.day_remaining = 0 THEN counted.day_reset_seconds ELSE counted.minute_reset_seconds END
            AS reset_seconds
    FROM count_use(
        ARRAY[%(client_subject)s::text],
        ARRAY[%(client_per_minute)s::integer],
        ARRAY[%(client_per_day)s::integer],
        '{0}',
        '{0}',
        0,
        coalesce(%(now)s::timestamptz, now())
    ) AS counted
),

-- A client that is refused costs the address nothing. (As CASE, so that no plan can call the function
-- before it has looked whether the client is allowed.)
address_use AS MATERIALIZED (
    SELECT
        counted.is_allowed,
        CASE WHEN counted.day_remaining = 0 THEN counted.day_reset_seconds ELSE counted.minute_reset_seconds END
            AS reset_seconds
    FROM client_use
    CROSS JOIN
        LATERAL count_use(
            CASE WHEN client_use.is_allowed THEN ARRAY[%(address_subject)s::text] END,
            ARRAY[%(address_per_minute)s::integer],
            ARRAY[%(address_per_day)s::integer],
            '{0}',
            '{0}',
            0,
            coalesce(%(now)s::timestamptz, now())
        ) AS counted
    WHERE client_use.is_allowed
)

SELECT
    client_use.is_allowed AND address_use.is_allowed AS is_allowed,
    CASE
        WHEN NOT client_use.is_allowed THEN client_use.reset_seconds
        WHEN NOT address_use.is_allowed THEN address_use.reset_seconds
        ELSE 0
    END AS retry_after_seconds
FROM client_use
LEFT JOIN address_use ON TRUE;
