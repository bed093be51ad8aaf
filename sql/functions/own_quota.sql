-- own_quota
-- Returns the counter of one subject, for the export.
--
-- It works outside the wall, because parley_app has no access to `quotas`, whose rows name no owner. The keyed hash
-- in the subject is the permission: only the deployment's secrets make it, so no caller can name another's.
--
-- Parameters
--   quota_subject  text         the subject: the kind of use, and a keyed hash
--   at             timestamptz  the time: a counter whose day is over by then says nothing any more
--
-- Returns a JSON object of the row's columns; null: nothing is counted for this subject.
-- Index quotas_pkey.
CREATE OR REPLACE FUNCTION own_quota(quota_subject text, at timestamptz)
RETURNS jsonb LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT to_jsonb(quotas)
    FROM quotas
    WHERE quotas.subject = own_quota.quota_subject AND quotas.day_ends_at > own_quota.at;
$$;
COMMENT ON FUNCTION own_quota(text, timestamptz)
IS 'Parley: the counter of the subject with this keyed hash; NULL: there is none';
