/* SPDX-License-Identifier: Apache-2.0
 *
 * See credentials.h.
 */
#include "kube/credentials.h"

#include <string.h>
#include <sys/stat.h>

#include "kube/config_files.h"
#include "kube/error.h"
#include "net/tls.h"

#define LOOK_US G_USEC_PER_SEC        /* between two looks at a file's state */
#define READ_US (60 * G_USEC_PER_SEC) /* between two readings of a token */

/* What tells one content of a file from the next without reading it. */
struct file_state {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec mtime;
};

struct kube_credentials {
    const struct kube_config *config;
    char *header;
    GTlsCertificate *certificate;
    struct file_state token_state, cert_state;
    gint64 looked_us, read_us, cert_looked_us;
    uint64_t reads;
    GError *trouble; /* of the last reading of the token */
    bool told;       /* of it or one before it */
};

static struct file_state state_of(const char *path)
{
    struct stat st;
    if (!path || stat(path, &st) != 0)
        return (struct file_state){0};
    return (struct file_state){.dev = st.st_dev, .ino = st.st_ino, .size = st.st_size, .mtime = st.st_mtim};
}

static bool same_state(struct file_state a, struct file_state b)
{
    return a.dev == b.dev && a.ino == b.ino && a.size == b.size && a.mtime.tv_sec == b.mtime.tv_sec &&
           a.mtime.tv_nsec == b.mtime.tv_nsec;
}

static void forget(char **secret)
{
    if (*secret)
        explicit_bzero(*secret, strlen(*secret));
    g_clear_pointer(secret, g_free);
}

/* An unreadable file (half of a rotation) keeps what was read before. */
static bool read_token(struct kube_credentials *c)
{
    gint64 now_us = g_get_monotonic_time();
    struct file_state state = state_of(c->config->token_path);
    g_clear_error(&c->trouble);
    g_autofree char *token = kube_config_token(c->config->token_path, &c->trouble);
    c->looked_us = now_us;
    c->reads++;
    if (!token)
        return false;
    c->told = false;
    forget(&c->header);
    c->header = g_strconcat("Bearer ", token, NULL);
    explicit_bzero(token, strlen(token));
    c->token_state = state;
    c->read_us = now_us;
    return true;
}

bool kube_credentials_header(struct kube_credentials *c, const char **ret, GError **error)
{
    gint64 now_us = g_get_monotonic_time();
    if (c->config->token_path && (!c->header || now_us - c->looked_us >= LOOK_US)) {
        bool changed = !same_state(state_of(c->config->token_path), c->token_state);
        c->looked_us = now_us;
        if (!c->header || changed || now_us - c->read_us >= READ_US) {
            if (!read_token(c) && !c->header) {
                g_set_error(error, KUBE_ERROR, KUBE_ERROR_CONFIG, "%s", c->trouble->message);
                return false;
            }
        }
    }
    *ret = c->header;
    return true;
}

GError *kube_credentials_trouble(struct kube_credentials *c)
{
    if (!c->trouble || c->told || !c->header)
        return NULL;
    c->told = true;
    return g_error_copy(c->trouble);
}

static bool read_certificate(struct kube_credentials *c, GError **error)
{
    g_auto(TlsPem) pem = {0};
    struct file_state state = state_of(c->config->cert_path);
    if (!tls_pem_load(c->config->cert_path, c->config->key_path, &pem, error))
        return false;
    GTlsCertificate *certificate = tls_certificate(&pem, error);
    if (!certificate)
        return false;
    g_clear_object(&c->certificate);
    c->certificate = certificate;
    c->cert_state = state;
    return true;
}

GTlsCertificate *kube_credentials_certificate(struct kube_credentials *c)
{
    gint64 now_us = g_get_monotonic_time();
    if (c->config->cert_path && c->config->key_path && now_us - c->cert_looked_us >= LOOK_US) {
        c->cert_looked_us = now_us;
        if (!same_state(state_of(c->config->cert_path), c->cert_state))
            read_certificate(c, NULL); /* what was read before stays */
    }
    return c->certificate;
}

bool kube_credentials_renew(struct kube_credentials *c, const char *header)
{
    if (!c->config->token_path)
        return false;
    if (g_strcmp0(header, c->header) != 0)
        return true;
    return read_token(c) && g_strcmp0(header, c->header) != 0;
}

uint64_t kube_credentials_reads(const struct kube_credentials *c)
{
    return c->reads;
}

void kube_credentials_free(struct kube_credentials *c)
{
    if (!c)
        return;
    forget(&c->header);
    g_clear_object(&c->certificate);
    g_clear_error(&c->trouble);
    g_free(c);
}

struct kube_credentials *kube_credentials_new(const struct kube_config *config, GError **error)
{
    struct kube_credentials *c = g_new0(struct kube_credentials, 1);
    c->config = config;
    if (config->token)
        c->header = g_strconcat("Bearer ", config->token, NULL);
    if (config->cert_pem) {
        struct tls_pem pem = {.cert = config->cert_pem, .key = config->key_pem};
        c->cert_state = state_of(config->cert_path);
        c->certificate = tls_certificate(&pem, error);
        if (!c->certificate) {
            g_prefix_error(error, "%s: client certificate: ", config->source);
            kube_credentials_free(c);
            return NULL;
        }
    }
    return c;
}
