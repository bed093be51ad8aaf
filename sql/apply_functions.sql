-- Apply the functions, and set privileges and sequences. Included by migrate.sql, in its last transaction; not run by
-- itself.

\ir functions/act_as_caller.sql
\ir functions/begin_turn.sql
\ir functions/change_password.sql
\ir functions/count_account_attempt.sql
\ir functions/count_bytes.sql
\ir functions/count_guess.sql
\ir functions/count_tokens.sql
\ir functions/count_use.sql
\ir functions/decide_turn.sql
\ir functions/delete_old_chat_messages.sql
\ir functions/delete_old_conversations.sql
\ir functions/delete_own_account.sql
\ir functions/erase_conversation.sql
\ir functions/find_account.sql
\ir functions/finish_log_in.sql
\ir functions/finish_turn.sql
\ir functions/is_kept.sql
\ir functions/list_conversations.sql
\ir functions/list_faults.sql
\ir functions/list_late_sequences.sql
\ir functions/list_privilege_faults.sql
\ir functions/list_slow_statements.sql
\ir functions/list_tool_runs.sql
\ir functions/list_turn_messages.sql
\ir functions/needed_privileges.sql
\ir functions/own_quota.sql
\ir functions/own_user.sql
\ir functions/reach_conversation.sql
\ir functions/read_history.sql
\ir functions/register_account.sql
\ir functions/remember_user.sql
\ir functions/replace_old_titles.sql
\ir functions/search_conversations.sql
\ir functions/search_excerpt.sql
\ir functions/search_query.sql
\ir functions/sign_out_everywhere.sql
\ir functions/store_message_files.sql
\ir functions/store_stream_batches.sql
\ir functions/told_files.sql
\ir functions/user_state.sql
-- Each time, whatever has changed them since: a default, a restore, a move by replication, a GRANT by hand.
\ir steps/set_privileges.sql
\set reads_all_rows false
\ir steps/set_sequences.sql
