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

#include "cli/sim.h"
#include "cli/verbs.h"
#include "driver/driver.h"
#include "vendor/config.h"

#define VERB(name) extern const struct verb verb_##name;
VERBS
#undef VERB

const struct verb *const verbs[] = {
#define VERB(name) &verb_##name,
    VERBS
#undef VERB
        NULL,
};

static int complete_vendors(void)
{
    struct vendor_options all = {.enable_ascend = true, .enable_iluvatar = true};
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(FamilySet) families = vendor_config_parse(NULL, 0, &all, warnings, NULL);
    for (uint32_t i = 0; families && i < families->n; i++)
        puts(families->rows[i]->word);
    return STATUS_OK;
}

/* For the shells' completion: the verbs, the families of --vendor, or the flags of a verb or of a word of
 * `hami sim`. */
static int complete(const char *word, const char *second)
{
    const struct verb *v = word ? cli_verb(word) : NULL;
#ifdef HAMI_WITH_SIM
    if (v == &verb_sim && second)
        v = sim_word(second);
#else
    (void)second;
#endif
    for (int i = 0; !word && verbs[i]; i++)
        puts(verbs[i]->name);
    if (g_strcmp0(word, "--vendor") == 0)
        return complete_vendors();
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

/* HAMi's chart starts its image as `scheduler --http_bind=...`: under that name we are `hami scheduler`. The
 * caller frees the words' array. */
static char **with_verb(int *argc, char **argv)
{
    static char verb[] = "scheduler";
    g_autofree char *name = *argc > 0 ? g_path_get_basename(argv[0]) : NULL;
    if (g_strcmp0(name, verb) != 0)
        return NULL;
    char **words = g_new0(char *, (gsize)*argc + 2);
    words[0] = argv[0];
    words[1] = verb;
    memcpy(words + 2, argv + 1, ((gsize)*argc - 1) * sizeof *argv);
    ++*argc;
    return words;
}

int main(int argc, char **argv)
{
    g_autofree char **words = with_verb(&argc, argv);
    argv = words ? words : argv;
    const char *word = argc > 1 ? argv[1] : "help";
    g_autoptr(GPtrArray) arguments = g_ptr_array_new();
    const struct verb *v;
    int rest = 0;
    fill_standard_descriptors();
    setlocale(LC_CTYPE, "");
    if (strcmp(word, "__driver") == 0)
        return driver_helper_main(argc, argv);
    if (strcmp(word, "__complete") == 0)
        return complete(argc > 2 ? argv[2] : NULL, argc > 3 ? argv[3] : NULL);
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        word = "help";
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
        word = "version";
    v = cli_verb(word);
    if (!v && *word == '-')
        return cli_usage(
            NULL, "unknown flag %s; a verb comes first: hami VERB [FLAGS]; `hami help` lists the verbs",
            word);
    if (!v)
        return cli_unknown_verb(NULL, word);
    if (argc < 2)
        return written(v->run(0, argv));
    int status = v->options_first ? cli_parse(v, argc - 1, argv + 1, &rest)
                                  : cli_parse_all(v, argc - 1, argv + 1, arguments);
    if (status < 0 && v->options_first)
        status = v->run(argc - 1 - rest, argv + 1 + rest);
    else if (status < 0)
        status = v->run((int)arguments->len - 1, (char **)arguments->pdata);
    return written(status);
}
