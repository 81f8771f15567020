/* SPDX-License-Identifier: Apache-2.0
 *
 * See settings.h. Every key goes through a reader of its kind; each reader
 * says NULL, or why the value is no use.
 */
#include "local/settings.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/status.h"
#include "base/words.h"

static const char *const core_policy_names[] = {"default", "force", "disable", NULL};

int settings_core_policy_parse(const char *word)
{
    for (int i = 0; core_policy_names[i]; i++)
        if (strcmp(word, core_policy_names[i]) == 0)
            return i;
    return -1;
}

const char *settings_core_policy_name(enum grant_policy policy)
{
    return (unsigned)policy < 3 ? core_policy_names[policy] : "unknown";
}

static const char *read_count(const char *text, void *ret)
{
    guint64 n;
    if (!g_ascii_string_to_unsigned(text, 10, 1, 1000, &n, NULL))
        return "is not a number from 1 to 1000";
    *(uint32_t *)ret = (uint32_t)n;
    return NULL;
}

static const char *read_ratio(const char *text, void *ret)
{
    return quantity_parse_ratio(text, ret) ? "is not a number from 0.001 to 100" : NULL;
}

/* Anything else would name no card, and cordon none. */
static const char *read_uuids(const char *text, void *ret)
{
    static const char known[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_./, ";
    if (text[strspn(text, known)])
        return "is not UUIDs with commas between them, in one pair of quotes";
    g_free(*(char **)ret);
    *(char **)ret = *text ? g_strdup(text) : NULL;
    return NULL;
}

static const char *read_mem(const char *text, void *ret)
{
    return quantity_parse_mem(text, ret);
}

static const char *read_cores(const char *text, void *ret)
{
    if (strcmp(text, "0") == 0) {
        *(uint32_t *)ret = 0;
        return NULL;
    }
    return quantity_parse_percent(text, ret);
}

static const char *read_policy(const char *text, void *ret)
{
    int i = request_policy_parse(text);
    if (i < 0)
        return "is none of binpack, spread, numa and topology";
    *(enum request_policy *)ret = (enum request_policy)i;
    return NULL;
}

static const char *read_core_policy(const char *text, void *ret)
{
    int i = settings_core_policy_parse(text);
    if (i < 0)
        return "is none of default, force and disable";
    *(enum grant_policy *)ret = (enum grant_policy)i;
    return NULL;
}

static const char *read_duration(const char *text, void *ret)
{
    return quantity_parse_duration(text, ret);
}

static const char *read_yes_no(const char *text, void *ret)
{
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};
    for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
        if (g_ascii_strcasecmp(text, words[i]) == 0) {
            *(bool *)ret = i % 2 == 1;
            return NULL;
        }
    return "is neither yes nor no";
}

static const struct key {
    const char *section, *name, *value;
    const char *(*read)(const char *, void *);
    size_t at;
} keys[] = {
#define CONFIG(section, key, value, how, member, meaning)                                                    \
    {#section, #key, value, read_##how, offsetof(struct settings, member)},
#include "config.def"
#undef CONFIG
};

static const char *put(struct settings *s, const struct key *key, const char *text)
{
    return key->read(text, (char *)s + key->at);
}

/* Cuts a comment behind the value, which TOML allows. A TOML reader's strings
 * stand in quotes; a key file's do not. */
static char *bare(char *text)
{
    g_strstrip(text);
    char *end = text[0] == '"' || text[0] == '\'' ? strchr(text + 1, text[0]) : NULL;
    char *comment = end ? end + 1 + strspn(end + 1, " \t") : strchr(text, '#');
    if (end && (*comment == '\0' || *comment == '#')) {
        *end = '\0';
        memmove(text, text + 1, (size_t)(end - text));
    } else if (!end && comment) {
        *comment = '\0';
        g_strchomp(text);
    }
    return text;
}

static const struct key *find_key(const char *section, const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++)
        if (strcmp(keys[i].section, section) == 0 && strcmp(keys[i].name, name) == 0)
            return &keys[i];
    return NULL;
}

/* Says what was meant, where the key belongs, or else which keys there are. */
static bool unknown_key(const char *path, const char *section, const char *name, GError **error)
{
    const char *here[G_N_ELEMENTS(keys) + 1] = {0}, *elsewhere = NULL;
    for (size_t i = 0, n = 0; i < G_N_ELEMENTS(keys); i++) {
        if (strcmp(keys[i].section, section) == 0)
            here[n++] = keys[i].name;
        else if (strcmp(keys[i].name, name) == 0)
            elsewhere = keys[i].section;
    }
    const char *near = words_nearest(name, here);
    g_autofree char *all = words_join(here);
    g_autofree char *remedy = elsewhere ? g_strdup_printf("it is a key of [%s]", elsewhere)
                              : near    ? g_strdup_printf("did you mean \"%s\"?", near)
                                        : g_strdup_printf("there are %s", all);
    g_set_error(error, STATUS_ERROR, STATUS_CONFIG, "%s: [%s] has no key \"%s\"; %s", path, section, name,
                remedy);
    return false;
}

static bool is_section(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++)
        if (strcmp(keys[i].section, name) == 0)
            return true;
    return false;
}

static bool load_section(struct settings *s, GKeyFile *file, const char *path, const char *section,
                         GError **error)
{
    g_auto(GStrv) names = g_key_file_get_keys(file, section, NULL, NULL);
    for (char **name = names; name && *name; name++) {
        const struct key *key = find_key(section, *name);
        if (!key)
            return unknown_key(path, section, *name, error);
        g_autofree char *text = g_key_file_get_value(file, section, *name, NULL);
        const char *why = put(s, key, bare(text));
        if (why) {
            g_set_error(error, STATUS_ERROR, STATUS_CONFIG, "%s: [%s] %s = %s %s; the default is %s", path,
                        section, *name, text, why, *key->value ? key->value : "empty");
            return false;
        }
    }
    return true;
}

static bool G_GNUC_PRINTF(3, 4) refuse(const char *path, GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *why = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, STATUS_ERROR, STATUS_CONFIG, "%s: %s", path, why);
    return false;
}

/* The text of the file; NULL without an error when there is none. A pipe would
 * be waited for, so it is not opened. */
static char *read_file(const char *path, gsize *ret_n, GError **error)
{
    g_autoptr(GError) problem = NULL;
    char *text = NULL;
    struct stat st = {.st_mode = S_IFREG};
    if (stat(path, &st) < 0 && errno == ENOENT)
        return NULL;
    if (!S_ISREG(st.st_mode)) {
        refuse(path, error, "is no regular file; write one, or name another with HAMI_CONFIG");
    } else if (!g_file_get_contents(path, &text, ret_n, &problem)) {
        refuse(path, error, "%s; make it readable, or name another with HAMI_CONFIG", problem->message);
    } else if (memchr(text, '\0', *ret_n)) {
        g_clear_pointer(&text, g_free);
        refuse(path, error, "holds a NUL byte, which would hide what follows; write it as text");
    }
    return text;
}

/* A key file would keep the last of two. */
static bool says_twice(const char *path, const char *text, GError **error)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    const char *section = "";
    for (guint i = 0; lines[i]; i++) {
        char *line = g_strstrip(lines[i]), *sign = strchr(line, '=');
        if (*line == '[')
            section = line;
        if (*line == '[' || *line == '#' || !sign)
            continue;
        *sign = '\0';
        g_strchomp(line);
        if (g_hash_table_add(seen, g_strconcat(section, "\n", line, NULL)))
            continue;
        refuse(path, error, "line %u: %s %s is said twice; keep one of them", i + 1, section, line);
        return true;
    }
    return false;
}

static bool load_file(struct settings *s, const char *path, GError **error)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(GError) problem = NULL;
    gsize n = 0;
    g_autofree char *content = read_file(path, &n, error);
    if (!content)
        return !*error;
    if (!g_key_file_load_from_data(file, content, n, G_KEY_FILE_NONE, &problem))
        return refuse(path, error, "%s; a line is [section], key = value or # comment", problem->message);
    if (says_twice(path, content, error))
        return false;
    g_auto(GStrv) sections = g_key_file_get_groups(file, NULL);
    for (char **section = sections; *section; section++) {
        if (!is_section(*section)) {
            g_set_error(error, STATUS_ERROR, STATUS_CONFIG,
                        "%s: there is no section [%s]: give [cards], [defaults] or [run]", path, *section);
            return false;
        }
        if (!load_section(s, file, path, *section, error))
            return false;
    }
    return true;
}

struct settings *settings_load(const char *path, GError **error)
{
    g_autoptr(GError) problem = NULL;
    struct settings *s = g_new0(struct settings, 1);
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++)
        put(s, &keys[i], keys[i].value);
    if (load_file(s, path, &problem))
        return s;
    g_propagate_error(error, g_steal_pointer(&problem));
    settings_free(s);
    return NULL;
}

void settings_free(struct settings *s)
{
    if (s)
        g_free(s->cordon);
    g_free(s);
}
