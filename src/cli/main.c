/* SPDX-License-Identifier: Apache-2.0
 *
 * The hami executable: finds the verb in the table and runs it.
 */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/words.h"
#include "cli/cli.h"
#include "cli/verbs.h"
#include "driver/driver.h"

#define VERB(name) extern const struct verb verb_##name;
VERBS
#undef VERB

const struct verb *const verbs[] = {
#define VERB(name) &verb_##name,
    VERBS
#undef VERB
        NULL,
};

static int unknown_verb(const char *word)
{
    const char *names[G_N_ELEMENTS(verbs)] = {0};
    for (int i = 0; verbs[i]; i++)
        names[i] = verbs[i]->name;
    if (*word == '-')
        return cli_usage(
            NULL, "unknown flag %s; a verb comes first: hami VERB [FLAGS]; `hami help` lists the verbs",
            word);
    const char *near = words_nearest(word, names);
    return cli_usage(NULL, "unknown verb \"%s\"%s%s%s; `hami help` lists them", word,
                     near ? ", did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

/* For the shells' completion: the verbs, or a verb's flags. */
static int complete(const char *word)
{
    const struct verb *v = word ? cli_verb(word) : NULL;
    for (int i = 0; !word && verbs[i]; i++)
        puts(verbs[i]->name);
    for (const struct cli_option *o = v ? v->options : NULL; o && o->name; o++)
        if (o->help)
            printf("--%s\n", o->name);
    return STATUS_OK;
}

/* A full disk behind `hami ps > file` is no success. */
static int written(int status)
{
    if ((fflush(stdout) == 0 && !ferror(stdout)) || status != STATUS_OK)
        return status;
    cli_usage(NULL, "standard output: %s", g_strerror(errno));
    return STATUS_FAILED;
}

/* A file that we open must not become standard error: messages would go into it. */
static void fill_standard_descriptors(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "help";
    const struct verb *v;
    int rest = 0;
    fill_standard_descriptors();
    setlocale(LC_CTYPE, "");
    if (strcmp(word, "__driver") == 0)
        return driver_helper_main(argc, argv);
    if (strcmp(word, "__complete") == 0)
        return complete(argc > 2 ? argv[2] : NULL);
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        word = "help";
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
        word = "version";
    v = cli_verb(word);
    if (!v)
        return unknown_verb(word);
    if (argc < 2)
        return written(v->run(0, argv));
    int status = cli_parse(v, argc - 1, argv + 1, &rest);
    return written(status >= 0 ? status : v->run(argc - 1 - rest, argv + 1 + rest));
}
