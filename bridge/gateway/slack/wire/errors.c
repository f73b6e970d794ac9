#include "bridge/gateway/slack/wire/errors.h"

#include "base/core/cleanup.h"

#include <string.h>

#define NEW_BOT_TOKEN                                                                              \
    "copy the Bot User OAuth Token (xoxb-) from OAuth & Permissions into SLACK_BOT_TOKEN, and an " \
    "App-Level Token (xapp-, scope connections:write) into SLACK_APP_TOKEN"
#define INVITE "invite the app in that channel: /invite @opencode"
#define CHANNEL                                                                                    \
    "set SLACK_CHANNEL_ID to the channel's id (channel name, About, at the bottom); in a private " \
    "channel also invite the app: /invite @opencode"

static const struct slack_error table[] = {
    { "not_authed", SLACK_ERROR_TOKEN, "the token is empty: " NEW_BOT_TOKEN },
    { "invalid_auth", SLACK_ERROR_TOKEN, "the token is wrong: " NEW_BOT_TOKEN },
    { "token_revoked", SLACK_ERROR_TOKEN,
      "the app was removed or its token revoked: install it "
      "again, then " NEW_BOT_TOKEN },
    { "token_expired", SLACK_ERROR_TOKEN,
      "switch token rotation off in the app, then " NEW_BOT_TOKEN },
    { "account_inactive", SLACK_ERROR_TOKEN,
      "the app was removed from the workspace: install it "
      "again, then " NEW_BOT_TOKEN },
    { "user_removed_from_team", SLACK_ERROR_TOKEN, "the app's user was removed: install it again" },
    { "team_disabled", SLACK_ERROR_TOKEN, "the workspace is disabled" },
    { "forbidden_team", SLACK_ERROR_TOKEN, "the app may not be used in this workspace" },
    { "not_allowed_token_type", SLACK_ERROR_TOKEN,
      "a token of the wrong kind, or Socket Mode is off: SLACK_BOT_TOKEN begins with xoxb-, "
      "SLACK_APP_TOKEN with xapp-; switch Socket Mode on in the app's settings" },
    { "missing_scope", SLACK_ERROR_SETUP,
      "add the scope in OAuth & Permissions (or paste slack-app-manifest.yaml again) and reinstall "
      "the app" },
    { "no_permission", SLACK_ERROR_SETUP, "the app may not do this in the workspace" },
    { "not_in_channel", SLACK_ERROR_SETUP, INVITE },
    { "channel_not_found", SLACK_ERROR_SETUP, CHANNEL },
    { "is_archived", SLACK_ERROR_SETUP,
      "the channel is archived: choose another SLACK_CHANNEL_ID" },
    { "is_inactive", SLACK_ERROR_SETUP,
      "the channel is archived: choose another SLACK_CHANNEL_ID" },
    { "restricted_action", SLACK_ERROR_SETUP, "posting is restricted in that channel" },
    { "restricted_action_read_only_channel", SLACK_ERROR_SETUP,
      "the channel is read-only for the app: choose another SLACK_CHANNEL_ID" },
    { "restricted_action_thread_only_channel", SLACK_ERROR_SETUP,
      "only threads are allowed in that channel: choose another SLACK_CHANNEL_ID" },
    { "messages_tab_disabled", SLACK_ERROR_SETUP, "switch the messages tab on in App Home" },
    { "message_limit_exceeded", SLACK_ERROR_SETUP, "the workspace's message limit is reached" },
    { "team_access_not_granted", SLACK_ERROR_SETUP, "install the app in this workspace" },
    { "ekm_access_denied", SLACK_ERROR_SETUP, "the workspace's key management suspended the app" },
    { "team_added_to_org", SLACK_ERROR_SETUP, "the workspace is being moved to an organisation" },
    { "ratelimited", SLACK_ERROR_RATE, "" },
    { "rate_limited", SLACK_ERROR_RATE, "" },
    { "internal_error", SLACK_ERROR_SERVER, "" },
    { "fatal_error", SLACK_ERROR_SERVER, "" },
    { "service_unavailable", SLACK_ERROR_SERVER, "" },
    { "request_timeout", SLACK_ERROR_SERVER, "" },
    { "invalid_blocks", SLACK_ERROR_CONTENT, "" },
    { "invalid_blocks_format", SLACK_ERROR_CONTENT, "" },
    { "msg_blocks_too_long", SLACK_ERROR_CONTENT, "" },
    { "msg_too_long", SLACK_ERROR_CONTENT, "" },
    { "markdown_text_conflict", SLACK_ERROR_CONTENT, "" },
    { "block_mismatch", SLACK_ERROR_CONTENT, "" },
    { "message_not_found", SLACK_ERROR_GONE, "" },
    { "thread_not_found", SLACK_ERROR_GONE, "" },
    { "cant_update_message", SLACK_ERROR_GONE, "" },
    { "edit_window_closed", SLACK_ERROR_GONE, "" },
    { "expired_trigger_id", SLACK_ERROR_GONE, "" },
    { "user_not_in_channel", SLACK_ERROR_GONE, "" },
};

const struct slack_error *slack_error_find(const char *code)
{
    static const struct slack_error unknown = { "", SLACK_ERROR_OTHER, "" };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if (strcmp(table[i].code, code) == 0)
            return &table[i];
    return &unknown;
}

void slack_error_explain(struct buf *out, const char *code, const char *needed)
{
    const struct slack_error *known = slack_error_find(code);
    buf_puts(out, code);
    if (*needed)
        buf_printf(out, " (%s)", needed);
    if (*known->fix)
        buf_printf(out, ": %s", known->fix);
}
