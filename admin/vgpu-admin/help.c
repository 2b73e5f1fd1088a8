/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "admin/vgpu-admin/admin.h"

static const struct {
    int status;
    const char *meaning;
} statuses[] = {
    {STATUS_OK, "done"},
    {STATUS_FAILED, "failed for another reason than those below"},
    {STATUS_USAGE, "wrong command, option or value; a value that is taken; a pool in use"},
    {STATUS_NOT_FOUND, "no such VM or pool on record"},
    {STATUS_DATABASE, "database missing, damaged, busy or not to be written, or the disk is full"},
    {STATUS_HYPERVISOR, "the hypervisor refused or failed; the message says how things stand"},
    {STATUS_DECLINED, "the question was answered with no; nothing was changed"},
    {STATUS_FAULTS, "doctor found a fault, or db check found damage"},
};

static void wrap(const char *text, int indent)
{
    int column = indent;

    printf("%*s", indent, "");
    while (*text) {
        int word = (int)strcspn(text, " \n");

        if (column > indent && column + 1 + word > 88) {
            printf("\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            putchar(' ');
            column++;
        }
        printf("%.*s", word, text);
        column += word;
        text += word;
        text += strspn(text, " ");
    }
    putchar('\n');
}

static void option_text(enum option i, char *out, size_t size)
{
    snprintf(out, size, "--%s%s%s", options[i].name, options[i].argument ? "=" : "",
             options[i].argument ? options[i].argument : "");
}

static void list_options(uint64_t which)
{
    char text[64];

    for (int i = 0; i < OPT_END; i++) {
        if (which & BIT(i)) {
            option_text((enum option)i, text, sizeof(text));
            printf("  %-22s  %s\n", text, options[i].help);
        }
    }
}

void help_overview(void)
{
    const char *group = "";

    puts("Usage: vgpu-admin COMMAND [OPTION]...\n"
         "Decides which VMs use the GPU, and shows what they do.");
    for (unsigned i = 0; i < command_count; i++) {
        if (strcmp(group, commands[i].group))
            printf("\n%s:\n", group = commands[i].group);
        printf("  %-16s  %s\n", commands[i].name, commands[i].summary);
    }
    puts("\nOptions of every command:");
    list_options(GLOBAL_OPTIONS);
    puts("\nvgpu-admin COMMAND --help says more about one.\n\nExit status:");
    for (unsigned i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
        printf("  %d  %s\n", statuses[i].status, statuses[i].meaning);
}

static void synopsis(const struct command *command)
{
    char text[64];

    printf("vgpu-admin %s", command->name);
    for (int i = 0; i < OPT_END; i++) {
        if (command->required & BIT(i)) {
            option_text((enum option)i, text, sizeof(text));
            printf(" %s", text);
        }
    }
    if (command->operand)
        printf(" %s", command->operand);
    if (command->optional)
        printf(" [OPTION]...");
}

void help_command(const struct command *command)
{
    printf("Usage: ");
    synopsis(command);
    putchar('\n');
    wrap(command->description, 0);
    if (command->required | command->optional) {
        puts("\nOptions:");
        list_options(command->required | command->optional);
    }
    puts("\nOptions of every command:");
    list_options(GLOBAL_OPTIONS);
    printf("\nExample:\n  vgpu-admin %s%s%s\n", command->name, command->example[0] ? " " : "",
           command->example);
}

/* ---- bash completion ---- */

static void words(uint64_t which)
{
    for (int i = 0; i < OPT_END; i++) {
        if (which & BIT(i))
            printf(" --%s%s", options[i].name, options[i].argument ? "=" : "");
    }
}

static void generate_bash(void)
{
    puts("# SPDX-License-Identifier: Apache-2.0\n"
         "# Made from the command table of vgpu-admin.\n"
         "_vgpu_admin()\n"
         "{\n"
         "    local cur prev command word second\n"
         "    COMPREPLY=()\n"
         "    cur=${COMP_WORDS[COMP_CWORD]}\n"
         "    prev=${COMP_WORDS[COMP_CWORD-1]}\n"
         "    # Bash splits --option=value into three words.\n"
         "    if [[ $cur == = ]]; then\n"
         "        cur=; \n"
         "    elif [[ $prev == = ]]; then\n"
         "        prev=${COMP_WORDS[COMP_CWORD-2]}\n"
         "    fi\n"
         "    case $prev in");
    for (int i = 0; i < OPT_END; i++) {
        if (options[i].choices)
            printf("    --%s) COMPREPLY=($(compgen -W '%s' -- \"$cur\")); return ;;\n",
                   options[i].name, options[i].choices);
    }
    puts("    --db|--socket|--run-dir) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n"
         "    --vm-uuid)\n"
         "        COMPREPLY=($(compgen -W \"$(vgpu-admin list-vms --json 2>/dev/null |\n"
         "            sed -n 's/.*\"vm_uuid\": \"\\([-0-9a-f]*\\)\".*/\\1/p')\" -- \"$cur\"))\n"
         "        return ;;\n"
         "    esac\n"
         "    command=\n"
         "    for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
         "        case $word in\n"
         "        -*|=) ;;\n"
         "        *) if [[ -z $command ]]; then command=$word\n"
         "           elif [[ $command == db || $command == scheduler ]]; then command+=\" $word\"\n"
         "           fi ;;\n"
         "        esac\n"
         "    done\n"
         "    case $command in");
    printf("    '') COMPREPLY=($(compgen -W '");
    for (unsigned i = 0; i < command_count; i++) {
        int length = (int)strcspn(commands[i].name, " ");

        if (i && !strncmp(commands[i].name, commands[i - 1].name, (size_t)length + 1) &&
            commands[i].name[length] == ' ')
            continue;
        printf("%s%.*s", i ? " " : "", length, commands[i].name);
    }
    puts(" --help --version' -- \"$cur\")) ;;");
    for (unsigned i = 0; i < command_count; i++) {
        const char *space = strchr(commands[i].name, ' ');
        size_t length = space ? (size_t)(space - commands[i].name) : 0;

        if (!space || (i && !strncmp(commands[i].name, commands[i - 1].name, length + 1)))
            continue;
        printf("    %.*s) COMPREPLY=($(compgen -W '", (int)length, commands[i].name);
        for (unsigned k = 0; k < command_count; k++) {
            if (!strncmp(commands[k].name, commands[i].name, length + 1))
                printf("%s%s", k == i ? "" : " ", commands[k].name + length + 1);
        }
        puts("' -- \"$cur\")) ;;");
    }
    for (unsigned i = 0; i < command_count; i++) {
        printf("    '%s') COMPREPLY=($(compgen %s-W '", commands[i].name,
               commands[i].operand ? "-f " : "");
        words(commands[i].required | commands[i].optional | GLOBAL_OPTIONS);
        puts("' -- \"$cur\")) ;;");
    }
    puts("    esac\n"
         "    [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace\n"
         "}\n"
         "complete -F _vgpu_admin vgpu-admin");
}

/* ---- man page ---- */

/* Escapes what roff would take as its own. */
static void roff(const char *text)
{
    if (*text == '.' || *text == '\'')
        fputs("\\&", stdout);
    for (; *text; text++) {
        if (*text == '\\')
            fputs("\\e", stdout);
        else if (*text == '-')
            fputs("\\-", stdout);
        else
            putchar(*text);
    }
}

static void man_options(uint64_t which)
{
    char text[64];

    for (int i = 0; i < OPT_END; i++) {
        if (!(which & BIT(i)))
            continue;
        option_text((enum option)i, text, sizeof(text));
        fputs(".TP\n.B ", stdout);
        roff(text);
        putchar('\n');
        roff(options[i].help);
        putchar('\n');
    }
}

static void generate_man(void)
{
    const char *group = "";

    puts(".\\\" SPDX-License-Identifier: Apache-2.0\n"
         ".\\\" Made from the command table of vgpu-admin.\n"
         ".TH VGPU-ADMIN 8 \"\" \"vgpu " VGPU_PACKAGE_VERSION "\" \"System administration\"\n"
         ".SH NAME\nvgpu-admin \\- decide which VMs use the GPU, and watch them\n"
         ".SH SYNOPSIS\n.B vgpu-admin\n.I COMMAND\n.RI [ OPTION ]...");
    for (unsigned i = 0; i < command_count; i++) {
        if (strcmp(group, commands[i].group))
            printf(".SH %s\n", group = commands[i].group);
        printf(".SS ");
        roff(commands[i].name);
        puts("\n.nf");
        synopsis(&commands[i]);
        puts("\n.fi\n.PP");
        roff(commands[i].description);
        putchar('\n');
        man_options(commands[i].required | commands[i].optional);
        if (commands[i].example[0]) {
            fputs(".PP\nExample:\n.PP\n.nf\nvgpu-admin ", stdout);
            roff(commands[i].name);
            putchar(' ');
            roff(commands[i].example);
            puts("\n.fi");
        }
    }
    puts(".SH OPTIONS OF EVERY COMMAND");
    man_options(GLOBAL_OPTIONS);
    puts(".SH EXIT STATUS");
    for (unsigned i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
        printf(".TP\n.B %d\n%s\n", statuses[i].status, statuses[i].meaning);
    puts(".SH FILES\n.TP\n.I " VGPU_DB_DEFAULT_PATH "\nthe configuration database\n"
         ".TP\n.I /run/vgpu/control.sock\nthe mediator's control socket");
}

int help_generate(const char *what)
{
    if (!strcmp(what, "bash"))
        generate_bash();
    else if (!strcmp(what, "man"))
        generate_man();
    else
        return STATUS_USAGE;
    return STATUS_OK;
}
