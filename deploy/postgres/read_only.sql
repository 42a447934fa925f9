-- Two roles for people who look into the database and change nothing:
--
--   sms_reader   sees every table and view, those of later releases too
--   sms_viewer   sees the same but for phones, texts and what may hold them: whether, when and why, never who or what
--
-- Run it as the role that runs `sms db upgrade`, in the database of the messages, and run it again after each upgrade:
-- only then sms_viewer sees new tables and columns. Whatever stands is left or set right; nothing is lost by a repeat.
--
--   psql "postgresql://OWNER@HOST/DATABASE" -v ON_ERROR_STOP=1 -1 -f deploy/postgres/read_only.sql
--
-- No password stands here. Give each role one, or make roles for your people and let them in by it:
--
--   \password sms_reader
--   CREATE ROLE anna LOGIN IN ROLE sms_viewer;  -- settings are not inherited: repeat the ALTER ROLE … SET below for her

DO $roles$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['sms_reader', 'sms_viewer'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE CONNECTION LIMIT 10', wanted);
        END IF;
        -- A second net: what they may not write is ruled by the grants below.
        EXECUTE format('ALTER ROLE %I SET default_transaction_read_only = on', wanted);
        -- A question that takes longer holds up the workers' cleaning.
        EXECUTE format('ALTER ROLE %I SET statement_timeout = ''30s''', wanted);
        EXECUTE format('ALTER ROLE %I SET idle_in_transaction_session_timeout = ''60s''', wanted);
        EXECUTE format('ALTER ROLE %I SET timezone = ''UTC''', wanted);
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), wanted);
        EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', wanted);
    END LOOP;
END
$roles$;

GRANT SELECT ON ALL TABLES IN SCHEMA public TO sms_reader;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO sms_reader;

-- Column by column, so that what is not named here is what sms_viewer sees, and SELECT * of such a table is refused.
DO $viewer$
DECLARE
    hidden CONSTANT text[] := ARRAY[
        'messages.phone', 'messages.ordered_phone', 'messages.text', 'messages.ordered_text', 'messages.tags',
        'messages.callback', 'v_sent.phone', 'v_sent.text', 'blocks.phone', 'reports.answer', 'callbacks.target',
        'callbacks.event', 'refused_intakes.body', 'refused_intakes.explanation'
    ];
    seen record;
BEGIN
    REVOKE SELECT ON ALL TABLES IN SCHEMA public FROM sms_viewer;
    FOR seen IN
        SELECT relname, string_agg(format('%I', attname), ', ' ORDER BY attnum) AS columns
          FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
         WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')
           AND attnum > 0 AND NOT attisdropped AND relname || '.' || attname <> ALL (hidden)
         GROUP BY relname
    LOOP
        EXECUTE format('GRANT SELECT (%s) ON public.%I TO sms_viewer', seen.columns, seen.relname);
    END LOOP;
END
$viewer$;
