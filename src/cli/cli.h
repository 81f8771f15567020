/* SPDX-License-Identifier: Apache-2.0
 *
 * What the verbs share: the verb and option tables, help, errors, colours.
 * A verb is one file with one `const struct verb`; main.c lists them.
 */
#ifndef HAMI_CLI_CLI_H
#define HAMI_CLI_CLI_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum cli_kind {
    CLI_FLAG,  /* target is bool * */
    CLI_TEXT,  /* target is const char **; the value follows, or stands behind "=" */
    CLI_LIST,  /* as CLI_TEXT, any number of times: target is struct cli_list * */
    CLI_MAYBE, /* as CLI_TEXT, but a value only behind "="; "" without */
};

/* What was given, in order; borrowed from argv, and NULL behind the last. */
#define CLI_LIST_MAX 32
struct cli_list {
    unsigned n;
    const char *texts[CLI_LIST_MAX + 1];
};

struct cli_option {
    const char *name; /* without dashes; NULL ends the table */
    char letter;      /* 0 = none */
    enum cli_kind kind;
    const char *value; /* name of the value in the help */
    const char *help;  /* NULL = accepted without effect, for command lines written for others */
    void *target;
};

struct verb {
    const char *name;
    const char *arguments; /* after the options, for the help */
    const char *summary;   /* one line */
    const char *text;      /* paragraphs; may be NULL */
    const char *examples;  /* one command a line */
    const struct cli_option *options;
    bool options_first; /* what follows the first argument is the argument's own */
    /* Gets the arguments after the options. Returns the exit status; reports
     * its own errors with cli_fail(). */
    int (*run)(int argc, char **argv);
};

extern const struct verb *const verbs[]; /* NULL-terminated */
const struct verb *cli_verb(const char *name);

/* Takes the options off argv (argv[0] is the verb); stops at the first word
 * that is none, or behind "--". -1: go on; else the exit status, all said. */
int cli_parse(const struct verb *v, int argc, char **argv, int *ret_rest);

/* The same with options before, between and behind the arguments: ret_arguments gets the words
 * (borrowed from argv) that are none, and NULL behind them. Behind "--" nothing is an option. */
int cli_parse_all(const struct verb *v, int argc, char **argv, GPtrArray *ret_arguments);

void cli_help(const struct verb *v);

/* "hami VERB: message" on standard error; returns the status for it. */
int cli_fail(const struct verb *v, const GError *error);
int cli_usage(const struct verb *v, const char *format, ...) G_GNUC_PRINTF(2, 3);
int cli_unknown_verb(const struct verb *v, const char *word);

/* Colours and terminal. */
bool cli_colour(int fd);
unsigned cli_width(void);

/* Cuts a frame of a live picture to the lines that the terminal has. */
void cli_clip(GString *frame);

/* The content of a file that a flag names (NULL: an argument): "--flag PATH: why" when it cannot be read. */
bool cli_read_file(const char *flag, const char *path, char **ret_text, gsize *ret_len, GError **error);

/* Prints and frees; returns STATUS_OK, or STATUS_FAILED when nobody takes it. */
int cli_print_json(json_t *value);

/* "2 h 5 min", "17 s". Caller frees. */
char *cli_duration(guint64 ms);

#endif
