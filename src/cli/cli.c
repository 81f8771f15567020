/* SPDX-License-Identifier: Apache-2.0
 *
 * See cli.h.
 */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/words.h"
#include "cli/fold.h"

const struct verb *cli_verb(const char *name)
{
    for (int i = 0; verbs[i]; i++)
        if (strcmp(verbs[i]->name, name) == 0)
            return verbs[i];
    return NULL;
}

bool cli_colour(int fd)
{
    const char *no = g_getenv("NO_COLOR"), *term = g_getenv("TERM");
    return isatty(fd) && (!no || !*no) && g_strcmp0(term, "dumb") != 0;
}

unsigned cli_width(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40)
        return size.ws_col;
    const char *columns = g_getenv("COLUMNS"); /* who calls has a terminal */
    guint64 n = 0;
    if (columns && g_ascii_string_to_unsigned(columns, 10, 40, 1000, &n, NULL))
        return (unsigned)n;
    return 100;
}

void cli_clip(GString *frame)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row < 2)
        return;
    gsize at = 0;
    for (unsigned line = 0; line < size.ws_row; line++) {
        const char *end = memchr(frame->str + at, '\n', frame->len - at);
        if (!end)
            return;
        at = (gsize)(end - frame->str) + 1;
    }
    g_string_truncate(frame, at - 1);
}

/* ---- errors ------------------------------------------------------------ */

static void say(const struct verb *v, const char *text)
{
    g_autofree char *message = g_strdup(text); /* it may quote a file, or what a program wrote */
    words_make_printable(message, "\n");
    bool colour = cli_colour(STDERR_FILENO);
    fprintf(stderr, "%shami%s%s:%s %s\n", colour ? "\033[31m" : "", v ? " " : "", v ? v->name : "",
            colour ? "\033[0m" : "", message);
}

int cli_fail(const struct verb *v, const GError *error)
{
    say(v, error ? error->message : "failed");
    return status_of_error(error);
}

int cli_usage(const struct verb *v, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *message = g_strdup_vprintf(format, args);
    va_end(args);
    say(v, message);
    return STATUS_USAGE;
}

int cli_unknown_verb(const struct verb *v, const char *word)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (int i = 0; verbs[i]; i++)
        g_ptr_array_add(names, (gpointer)(uintptr_t)verbs[i]->name);
    g_ptr_array_add(names, NULL);
    const char *near = words_nearest(word, (const char *const *)names->pdata);
    return cli_usage(v, "unknown verb \"%s\"%s%s%s; `hami help` lists them", word,
                     near ? ", did you mean \"" : "", near ? near : "", near ? "\"" : "");
}

bool cli_read_file(const char *flag, const char *path, char **ret_text, gsize *ret_len, GError **error)
{
    g_autoptr(GError) problem = NULL;
    if (g_file_get_contents(path, ret_text, ret_len, &problem))
        return true;
    g_set_error(error, problem->domain, problem->code, "%s%s%s%s: %s", flag ? "--" : "", flag ? flag : "",
                flag ? " " : "", path, status_reason(problem));
    return false;
}

/* ---- options ----------------------------------------------------------- */

static const struct cli_option common[] = {
    {"help", 'h', CLI_FLAG, NULL, "this text", NULL},
    {0},
};

static int unknown_option(const struct verb *v, const char *word)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    g_autofree char *name = g_strndup(word, strcspn(word, "="));
    for (const struct cli_option *o = v->options; o && o->name; o++)
        g_ptr_array_add(names, (gpointer)(uintptr_t)o->name);
    g_ptr_array_add(names, NULL);
    const char *near = words_nearest(name, (const char *const *)names->pdata);
    return cli_usage(v, "unknown flag --%s%s%s; `hami %s --help` lists them", name,
                     near ? ", did you mean --" : "", near ? near : "", v->name);
}

static const struct cli_option *find_option(const struct verb *v, const char *word)
{
    size_t n = strcspn(word, "=");
    for (const struct cli_option *o = v->options; o && o->name; o++)
        if (strlen(o->name) == n && strncmp(o->name, word, n) == 0)
            return o;
    return NULL;
}

static const struct cli_option *find_letter(const struct verb *v, char letter)
{
    for (const struct cli_option *o = v->options; o && o->name; o++)
        if (o->letter == letter)
            return o;
    return NULL;
}

/* Stores an option. Returns the number of words used, or 0 when it said why not. */
static int take(const struct verb *v, const struct cli_option *o, const char *value, const char *next)
{
    if (o->kind == CLI_FLAG && value) {
        cli_usage(v, "--%s takes no value", o->name);
        return 0;
    }
    if (o->kind == CLI_FLAG) {
        *(bool *)o->target = true;
        return 1;
    }
    bool follows = o->kind == CLI_TEXT || o->kind == CLI_LIST;
    if (follows && !value && !next) {
        cli_usage(v, "--%s needs a value: --%s %s", o->name, o->name, o->value);
        return 0;
    }
    const char *text = value ? value : follows ? next : "";
    if (o->kind == CLI_LIST) {
        struct cli_list *list = o->target;
        if (list->n == CLI_LIST_MAX) {
            cli_usage(v, "--%s may be given %d times at most", o->name, CLI_LIST_MAX);
            return 0;
        }
        list->texts[list->n++] = text;
    } else {
        *(const char **)o->target = text;
    }
    return follows && !value ? 2 : 1;
}

/* Stores the flags without a value of "-xqm8G". Returns the last option, with *word at its letter; NULL when
 * it said why not. */
static const struct cli_option *take_letters(const struct verb *v, const char **word)
{
    for (;;) {
        const struct cli_option *o = find_letter(v, *++*word);
        if (!o) {
            cli_usage(v, "unknown flag -%c; `hami %s --help` lists them", **word, v->name);
            return NULL;
        }
        if (o->kind != CLI_FLAG || (*word)[1] == '\0' || (*word)[1] == '=')
            return o;
        *(bool *)o->target = true;
    }
}

int cli_parse(const struct verb *v, int argc, char **argv, int *ret_rest)
{
    int i = 1, used;
    while (i < argc && argv[i][0] == '-' && argv[i][1]) {
        const char *word = argv[i], *value = strchr(word, '=');
        const struct cli_option *o;
        if (strcmp(word, "--") == 0) {
            i++;
            break;
        }
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            cli_help(v);
            return STATUS_OK;
        }
        if (word[1] == '-') {
            o = find_option(v, word + 2);
            if (!o)
                return unknown_option(v, word + 2);
            value = value ? value + 1 : NULL;
        } else {
            o = take_letters(v, &word);
            if (!o)
                return STATUS_USAGE;
            value = word[1] ? word + 1 : NULL;
        }
        used = take(v, o, value, i + 1 < argc ? argv[i + 1] : NULL);
        if (!used)
            return STATUS_USAGE;
        i += used;
    }
    *ret_rest = i;
    return -1;
}

int cli_parse_all(const struct verb *v, int argc, char **argv, GPtrArray *ret_arguments)
{
    bool literal = false;
    int rest = 0;
    while (argc > 1) {
        int status = literal ? -1 : cli_parse(v, argc, argv, &rest);
        if (status >= 0)
            return status;
        rest = literal ? 1 : rest;
        literal |= rest > 1 && strcmp(argv[rest - 1], "--") == 0;
        if (rest >= argc)
            break;
        g_ptr_array_add(ret_arguments, argv[rest]);
        argc -= rest;
        argv += rest;
    }
    g_ptr_array_add(ret_arguments, NULL);
    return -1;
}

/* ---- help -------------------------------------------------------------- */

#define FLAG_COLUMN 30
#define HELP_WIDTH 100

static void add_options(GString *ret, const struct cli_option *o)
{
    for (; o && o->name; o++) {
        if (!o->help)
            continue;
        g_autofree char *letter = o->letter ? g_strdup_printf("-%c, ", o->letter) : g_strdup("    ");
        g_autofree char *flag =
            g_strdup_printf("%s--%s%s%s%s", letter, o->name, o->kind == CLI_MAYBE ? "[=" : "",
                            o->kind == CLI_TEXT || o->kind == CLI_LIST ? " " : "", o->value ? o->value : "");
        g_autofree char *closed = g_strconcat(flag, o->kind == CLI_MAYBE ? "]" : "", NULL);
        if (strlen(closed) > FLAG_COLUMN) /* on a line of its own */
            g_string_append_printf(ret, "  %s\n  %-*s %s\n", closed, FLAG_COLUMN, "", o->help);
        else
            g_string_append_printf(ret, "  %-*s %s\n", FLAG_COLUMN, closed, o->help);
    }
}

static void add_ignored(GString *ret, const struct cli_option *o, size_t width)
{
    size_t column = width;
    bool any = false;
    for (; o && o->name; o++) {
        if (o->help)
            continue;
        if (!any)
            g_string_append(ret, "\nAccepted without effect:");
        any = true;
        if (column + strlen(o->name) + 3 > width) {
            g_string_append(ret, "\n ");
            column = 1;
        }
        g_string_append_printf(ret, " --%s", o->name);
        column += strlen(o->name) + 3;
    }
    if (any)
        g_string_append_c(ret, '\n');
}

void cli_help(const struct verb *v)
{
    unsigned width = isatty(STDOUT_FILENO) ? MIN(cli_width(), HELP_WIDTH) : HELP_WIDTH;
    g_autoptr(GString) s = g_string_new(NULL);
    g_string_append_printf(s, "hami %s - %s\n\nUsage: hami %s [FLAGS]%s%s\n", v->name, v->summary, v->name,
                           *v->arguments ? " " : "", v->arguments);
    if (v->text)
        g_string_append_printf(s, "\n%s\n", v->text);
    g_string_append(s, "\nFlags:\n");
    add_options(s, v->options);
    add_options(s, common);
    add_ignored(s, v->options, width);
    g_autofree char *text = width < HELP_WIDTH ? fold_text(s->str, width) : g_strdup(s->str);
    printf("%s\nExamples:\n", text);
    g_auto(GStrv) lines = g_strsplit(v->examples, "\n", -1);
    for (char **line = lines; *line; line++)
        printf("  %s\n", *line); /* whole: they are there to be copied */
}

int cli_print_json(json_t *value)
{
    int result = json_dumpf(value, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    json_decref(value);
    return result == 0 && fputc('\n', stdout) != EOF && fflush(stdout) == 0 ? STATUS_OK : STATUS_FAILED;
}

char *cli_duration(guint64 ms)
{
    guint64 s = ms / 1000;
    if (s < 60)
        return g_strdup_printf("%" G_GUINT64_FORMAT " s", s);
    if (s < 3600)
        return g_strdup_printf("%" G_GUINT64_FORMAT " min", s / 60);
    if (s < 86400)
        return g_strdup_printf("%" G_GUINT64_FORMAT " h %" G_GUINT64_FORMAT " min", s / 3600, s / 60 % 60);
    return g_strdup_printf("%" G_GUINT64_FORMAT " d", s / 86400);
}
