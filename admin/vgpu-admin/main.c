/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "admin/vgpu-admin/admin.h"

static int find_option(const char *name, size_t length)
{
    for (int i = 0; i < OPT_END; i++) {
        if (strlen(options[i].name) == length && !strncmp(options[i].name, name, length))
            return i;
    }
    return -1;
}

/* Options may stand anywhere. Words are taken out of argv; returns how many, or -1. */
static int parse(struct context *c, int argc, char **argv, const char **words, int room)
{
    int count = 0;

    for (int i = 1; i < argc; i++) {
        const char *name = argv[i] + 2, *equals;
        int option;

        if (strncmp(argv[i], "--", 2) || !argv[i][2]) {
            if (argv[i][0] == '-')
                return fail(c, STATUS_USAGE, "unknown option %.64s; try: vgpu-admin --help",
                            argv[i]),
                       -1;
            if (count == room)
                return fail(c, STATUS_USAGE, "unexpected argument %.64s", argv[i]), -1;
            words[count++] = argv[i];
            continue;
        }
        equals = strchr(name, '=');
        option = find_option(name, equals ? (size_t)(equals - name) : strlen(name));
        if (option < 0)
            return fail(c, STATUS_USAGE, "unknown option %.64s; try: vgpu-admin --help", argv[i]),
                   -1;
        if (c->value[option])
            return fail(c, STATUS_USAGE, "--%s is given twice", options[option].name), -1;
        if (!options[option].argument && equals)
            return fail(c, STATUS_USAGE, "--%s takes no value", options[option].name), -1;
        if (options[option].argument && !equals && i + 1 == argc)
            return fail(c, STATUS_USAGE, "--%s needs a value: --%s=%s", options[option].name,
                        options[option].name, options[option].argument),
                   -1;
        c->value[option] = !options[option].argument ? "" : equals ? equals + 1 : argv[++i];
        if (option == OPT_JSON)
            c->json = true;
        if (option == OPT_YES)
            c->yes = true;
    }
    return count;
}

static const struct command *find_command(const char **words, int count, int *used)
{
    char two[64];

    for (unsigned i = 0; i < command_count; i++) {
        if (count > 0 && !strcmp(commands[i].name, words[0])) {
            *used = 1;
            return &commands[i];
        }
        if (count > 1) {
            snprintf(two, sizeof(two), "%.30s %.30s", words[0], words[1]);
            if (!strcmp(commands[i].name, two)) {
                *used = 2;
                return &commands[i];
            }
        }
    }
    return NULL;
}

static int unknown_command(struct context *c, const char **words, int count)
{
    char known[256] = "";
    size_t length = strlen(words[0]);

    for (unsigned i = 0; i < command_count; i++) {
        if (!strncmp(commands[i].name, words[0], length) && commands[i].name[length] == ' ')
            snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s%s",
                     known[0] ? ", " : "", commands[i].name);
    }
    if (known[0])
        return fail(c, STATUS_USAGE, "unknown command %.30s%s%.30s; there are: %s", words[0],
                    count > 1 ? " " : "", count > 1 ? words[1] : "", known);
    return fail(c, STATUS_USAGE, "unknown command %.64s; vgpu-admin --help lists them", words[0]);
}

int main(int argc, char **argv)
{
    struct context c = {0};
    const char *words[4];
    int count, used = 0, status, code;

    if (argc == 2 && !strncmp(argv[1], "--generate=", 11))
        return help_generate(argv[1] + 11);
    for (int i = 1; i < argc; i++)
        c.json |= !strcmp(argv[i], "--json"); /* an error in the options is JSON too */
    count = parse(&c, argc, argv, words, 4);
    if (count < 0)
        return STATUS_USAGE;
    if (c.value[OPT_VERSION]) {
        puts("vgpu-admin " VGPU_PACKAGE_VERSION);
        return STATUS_OK;
    }
    if (!count) {
        if (c.value[OPT_HELP]) {
            help_overview();
            return STATUS_OK;
        }
        return fail(&c, STATUS_USAGE, "no command given; vgpu-admin --help lists them");
    }
    c.command = find_command(words, count, &used);
    if (!c.command)
        return unknown_command(&c, words, count);
    if (c.value[OPT_HELP]) {
        help_command(c.command);
        return STATUS_OK;
    }
    for (int i = 0; i < OPT_END; i++) {
        if (c.value[i] && !((c.command->required | c.command->optional | GLOBAL_OPTIONS) & BIT(i)))
            return fail(&c, STATUS_USAGE, "%s does not take --%s; try: vgpu-admin %s --help",
                        c.command->name, options[i].name, c.command->name);
        if (!c.value[i] && c.command->required & BIT(i))
            return fail(&c, STATUS_USAGE, "%s needs --%s=%s", c.command->name, options[i].name,
                        options[i].argument);
    }
    if (count > used + (c.command->operand != NULL))
        return fail(&c, STATUS_USAGE, "unexpected argument %.64s",
                    words[used + (c.command->operand != NULL)]);
    if (c.command->operand && count == used)
        return fail(&c, STATUS_USAGE, "%s needs the name of a file", c.command->name);
    c.operand = count > used ? words[used] : NULL;
    if (c.command->database != DB_NONE) {
        code = vgpu_db_init(&c.db, c.value[OPT_DB],
                            c.command->database == DB_READ ? VGPU_DB_READONLY : 0);
        if (code)
            return fail_db(&c, code);
    }
    status = c.command->run(&c);
    vgpu_db_close(c.db);
    if (fflush(stdout) != 0 || ferror(stdout))
        return fail(&c, STATUS_FAILED, "the output could not be written");
    return status;
}
