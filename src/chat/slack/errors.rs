//! What to do about each error of Slack's.
//!
//! Sources: <https://docs.slack.dev/reference/methods/chat.postMessage#errors>,
//! <https://docs.slack.dev/reference/methods/chat.postEphemeral#errors>,
//! <https://docs.slack.dev/reference/methods/chat.update#errors>,
//! <https://docs.slack.dev/reference/methods/chat.scheduleMessage#errors>,
//! <https://docs.slack.dev/interactivity/handling-user-interaction#message_responses>.

use crate::chat::outbox::Policy;

/// The errors that a message may be answered with, each with what is done about it.
pub const ERRORS: [(&str, Policy); 79] = [
    // The bot is not in the channel, or may not write there.
    ("channel_not_found", Policy::Person),
    ("invalid_channel", Policy::Person),
    ("not_in_channel", Policy::Person),
    ("is_archived", Policy::Person),
    ("is_inactive", Policy::Person),
    ("restricted_action", Policy::Person),
    ("restricted_action_read_only_channel", Policy::Person),
    ("restricted_action_thread_only_channel", Policy::Person),
    ("team_access_not_granted", Policy::Person),
    ("access_denied", Policy::Person),
    ("channel_type_not_supported", Policy::Person),
    ("method_not_supported_for_channel_type", Policy::Person),
    ("slack_connect_canvas_sharing_blocked", Policy::Person),
    ("slack_connect_blocked_file_type", Policy::Person),
    ("slack_connect_file_link_sharing_blocked", Policy::Person),
    // Whoever is to see it alone is not in the channel.
    ("user_not_in_channel", Policy::Person),
    // The thread is gone, closed, or cannot be there.
    ("message_not_found", Policy::Channel),
    ("thread_not_found", Policy::Channel),
    ("cannot_reply_to_message", Policy::Channel),
    ("restricted_action_thread_locked", Policy::Channel),
    ("restricted_action_non_threadable_channel", Policy::Channel),
    // The message may be edited no more.
    ("edit_window_closed", Policy::Channel),
    // The person cannot be written to.
    ("cannot_dm_bot", Policy::Gone),
    ("user_not_found", Policy::Gone),
    ("user_not_visible", Policy::Gone),
    ("user_disabled", Policy::Gone),
    ("messages_tab_disabled", Policy::Gone),
    // The right to answer has ended.
    ("cant_update_message", Policy::Gone),
    ("expired_url", Policy::Gone),
    ("used_url", Policy::Gone),
    ("expired_trigger_id", Policy::Gone),
    ("exchanged_trigger_id", Policy::Gone),
    // The view was closed.
    ("not_found", Policy::Gone),
    // The scheduled message was posted, or taken back.
    ("invalid_scheduled_message_id", Policy::Gone),
    // The token is not valid, or not for this.
    ("invalid_auth", Policy::Mend),
    ("not_authed", Policy::Mend),
    ("token_revoked", Policy::Mend),
    ("token_expired", Policy::Mend),
    ("account_inactive", Policy::Mend),
    ("missing_scope", Policy::Mend),
    ("no_permission", Policy::Mend),
    ("not_allowed_token_type", Policy::Mend),
    ("org_login_required", Policy::Mend),
    ("two_factor_setup_required", Policy::Mend),
    ("enterprise_is_restricted", Policy::Mend),
    ("team_not_found", Policy::Mend),
    // An administrator allows the API from other networks only.
    ("accesslimited", Policy::Mend),
    // It passes.
    ("ekm_access_denied", Policy::Later),
    ("external_channel_migrating", Policy::Later),
    ("team_added_to_org", Policy::Later),
    ("message_limit_exceeded", Policy::Later),
    ("update_failed", Policy::Later),
    // Too many are scheduled for these minutes of the channel; or it took too long to say when.
    ("restricted_too_many", Policy::Later),
    ("time_in_past", Policy::Later),
    ("ratelimited", Policy::Limited),
    ("rate_limited", Policy::Limited),
    ("service_unavailable", Policy::Away),
    // Some of it may have succeeded.
    ("internal_error", Policy::Uncertain),
    ("fatal_error", Policy::Uncertain),
    ("request_timeout", Policy::Uncertain),
    // What we sent is wrong.
    ("msg_too_long", Policy::Ours),
    ("msg_blocks_too_long", Policy::Ours),
    ("no_text", Policy::Ours),
    ("invalid_time", Policy::Ours),
    ("time_too_far", Policy::Ours),
    ("invalid_blocks", Policy::Ours),
    ("invalid_blocks_format", Policy::Ours),
    ("too_many_attachments", Policy::Ours),
    ("attachment_payload_limit_exceeded", Policy::Ours),
    ("markdown_text_conflict", Policy::Ours),
    ("duplicate_channel_not_found", Policy::Ours),
    ("duplicate_message_not_found", Policy::Ours),
    ("metadata_too_large", Policy::Ours),
    ("invalid_arguments", Policy::Ours),
    ("invalid_arg_name", Policy::Ours),
    ("invalid_json", Policy::Ours),
    ("json_not_object", Policy::Ours),
    ("invalid_post_type", Policy::Ours),
    ("method_deprecated", Policy::Ours),
];

/// What to do about `code`. One that nobody has told of is ours: it is not tried again, and is in the log.
pub fn policy(code: &str) -> Policy {
    ERRORS.iter().find(|(it, _)| *it == code).map_or(Policy::Ours, |(_, policy)| *policy)
}
