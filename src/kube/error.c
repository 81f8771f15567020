/* SPDX-License-Identifier: Apache-2.0
 *
 * See error.h.
 */
#include "kube/error.h"

#include <string.h>

#include "base/json_scan.h"

#define RETRY_MAX_S 3600
#define TEXT_MAX 1024 /* bytes of a foreign message that we repeat */

typedef struct {
    unsigned status;
    uint32_t retry_after_ms;
    char reason[48];
} KubeErrorPrivate;

static void kube_error_private_init(KubeErrorPrivate *p)
{
    *p = (KubeErrorPrivate){0};
}

static void kube_error_private_copy(const KubeErrorPrivate *from, KubeErrorPrivate *to)
{
    *to = *from;
}

static void kube_error_private_clear(KubeErrorPrivate *p)
{
    (void)p;
}

/* The macro casts const away. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual"
G_DEFINE_EXTENDED_ERROR(KubeError, kube_error)
#pragma GCC diagnostic pop

/* What a status line means where no reason says more. */
static const struct {
    unsigned status;
    enum kube_error code;
} by_status[] = {
    {400, KUBE_ERROR_BAD_REQUEST}, {401, KUBE_ERROR_UNAUTHORIZED}, {403, KUBE_ERROR_FORBIDDEN},
    {404, KUBE_ERROR_NOT_FOUND},   {405, KUBE_ERROR_NOT_ALLOWED},  {406, KUBE_ERROR_UNSUPPORTED},
    {408, KUBE_ERROR_TIMEOUT},     {409, KUBE_ERROR_CONFLICT},     {410, KUBE_ERROR_GONE},
    {413, KUBE_ERROR_TOO_LARGE},   {415, KUBE_ERROR_UNSUPPORTED},  {422, KUBE_ERROR_INVALID},
    {429, KUBE_ERROR_TOO_MANY},    {500, KUBE_ERROR_INTERNAL},     {502, KUBE_ERROR_UNAVAILABLE},
    {503, KUBE_ERROR_UNAVAILABLE}, {504, KUBE_ERROR_TIMEOUT},
};

static enum kube_error code_of(unsigned status, const char *reason)
{
    if (status == 409 && strcmp(reason, "AlreadyExists") == 0)
        return KUBE_ERROR_ALREADY_EXISTS;
    for (size_t i = 0; i < G_N_ELEMENTS(by_status); i++)
        if (by_status[i].status == status)
            return by_status[i].code;
    if (status >= 400 && status < 500)
        return KUBE_ERROR_BAD_REQUEST;
    return status >= 500 && status < 600 ? KUBE_ERROR_INTERNAL : KUBE_ERROR_PROTOCOL;
}

struct status {
    char reason[48];
    char *message; /* NULL: not a Status object */
    int64_t code, retry_after_s;
};

static void read_details(struct json_scan *s, struct status *ret)
{
    struct json_text key;
    if (!json_scan_object(s))
        return;
    while (json_scan_key(s, &key))
        if (json_text_is(key, "retryAfterSeconds"))
            json_scan_int(s, &ret->retry_after_s);
        else
            json_scan_skip(s);
}

/* Leaves *ret without a message where the text is no Status. */
static void read_status(const char *json, size_t len, struct status *ret)
{
    struct json_scan s;
    struct json_text key, kind = {0}, message = {0}, reason = {0};
    *ret = (struct status){0};
    json_scan_init(&s, json, len);
    if (json_scan_object(&s)) {
        while (json_scan_key(&s, &key)) {
            if (json_text_is(key, "kind"))
                json_scan_text(&s, &kind);
            else if (json_text_is(key, "message"))
                json_scan_text(&s, &message);
            else if (json_text_is(key, "reason"))
                json_scan_text(&s, &reason);
            else if (json_text_is(key, "code"))
                json_scan_int(&s, &ret->code);
            else if (json_text_is(key, "details"))
                read_details(&s, ret);
            else
                json_scan_skip(&s);
        }
    }
    if (!json_scan_end(&s) || !json_text_is(kind, "Status"))
        return;
    if (message.at)
        ret->message = json_text_dup(message);
    if (!ret->message)
        ret->message = g_strdup("");
    if (!reason.at || json_text_copy(reason, ret->reason, sizeof ret->reason) < 0)
        ret->reason[0] = '\0';
}

static GError *error_new(unsigned status, uint32_t retry_after_s, const char *reason, const char *text)
{
    g_autofree char *printable = g_utf8_make_valid(text, (gssize)strnlen(text, TEXT_MAX));
    for (char *c = printable; *c; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
    GError *error = g_error_new_literal(KUBE_ERROR, (int)code_of(status, reason), g_strstrip(printable));
    KubeErrorPrivate *p = kube_error_get_private(error);
    p->status = status;
    p->retry_after_ms = MIN(retry_after_s, RETRY_MAX_S) * 1000u;
    g_strlcpy(p->reason, reason, sizeof p->reason);
    return error;
}

/* A date, which API servers do not write, counts as nothing said. */
static uint32_t seconds(const char *header, int64_t from_details)
{
    bool is_number = header && g_ascii_isdigit(header[0]) && header[strspn(header, "0123456789")] == '\0';
    if (is_number)
        return (uint32_t)MIN(g_ascii_strtoull(header, NULL, 10), RETRY_MAX_S);
    return from_details > 0 ? (uint32_t)MIN(from_details, RETRY_MAX_S) : 0;
}

GError *kube_error_from_answer(unsigned status, const char *retry_after, const char *body, size_t len)
{
    struct status s;
    read_status(body, len, &s);
    g_autofree char *message = s.message;
    g_autofree char *text = NULL;
    if (message && message[0])
        text = g_strdup(message);
    else if (!message && len > 0)
        text = g_strdup_printf("HTTP status %u: %.*s", status, (int)MIN(len, 256), body);
    else
        text = g_strdup_printf("HTTP status %u%s%s", status, s.reason[0] ? ", reason " : "", s.reason);
    return error_new(status, seconds(retry_after, s.retry_after_s), s.reason, text);
}

GError *kube_error_from_status(const char *json, size_t len)
{
    struct status s;
    read_status(json, len, &s);
    g_autofree char *message = s.message;
    if (!message)
        return g_error_new_literal(KUBE_ERROR, KUBE_ERROR_PROTOCOL, "an ERROR event without a Status object");
    unsigned status = s.code >= 400 && s.code < 600 ? (unsigned)s.code : 500;
    /* What came before codes: "Expired" is a 410 by definition. */
    if (strcmp(s.reason, "Expired") == 0 || strcmp(s.reason, "Gone") == 0)
        status = 410;
    return error_new(status, seconds(NULL, s.retry_after_s), s.reason, message[0] ? message : s.reason);
}

unsigned kube_error_status(const GError *error)
{
    return error && error->domain == KUBE_ERROR ? kube_error_get_private(error)->status : 0;
}

uint32_t kube_error_retry_after_ms(const GError *error)
{
    return error && error->domain == KUBE_ERROR ? kube_error_get_private(error)->retry_after_ms : 0;
}

const char *kube_error_reason(const GError *error)
{
    return error && error->domain == KUBE_ERROR ? kube_error_get_private(error)->reason : "";
}

gboolean kube_error_is_transient(const GError *error)
{
    return g_error_matches(error, KUBE_ERROR, KUBE_ERROR_TOO_MANY) ||
           g_error_matches(error, KUBE_ERROR, KUBE_ERROR_INTERNAL) ||
           g_error_matches(error, KUBE_ERROR, KUBE_ERROR_UNAVAILABLE) ||
           g_error_matches(error, KUBE_ERROR, KUBE_ERROR_TIMEOUT);
}
