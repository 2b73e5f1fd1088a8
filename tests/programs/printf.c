/* SPDX-License-Identifier: Apache-2.0 */
/* printf - lines printed by a kernel must reach standard output by the next synchronisation, whole
 */
#include "program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern const char printf_ptx[];

static FILE *capture;
static CUfunction fn;

static void setup(void)
{
    if (program.size > 2000)
        fail("--size %zu does not fit the driver's default buffer", program.size);
    capture = tmpfile();
    if (!capture)
        fail("cannot make a temporary file");
    fn = kernel("print_lines");
    details("lines=%zu", program.size);
}

static void job(void)
{
    int count = (int)program.size, saved;

    fflush(stdout);
    saved = dup(STDOUT_FILENO);
    if (saved < 0 || ftruncate(fileno(capture), 0) != 0 ||
        lseek(fileno(capture), 0, SEEK_SET) != 0 || dup2(fileno(capture), STDOUT_FILENO) < 0)
        fail("cannot redirect standard output");
    launch_1d(fn, NULL, program.size, 32, PARAMS(&count));
    CHECK(cuCtxSynchronize());
    fflush(stdout); /* a driver may print through this process's stdio */
    dup2(saved, STDOUT_FILENO);
    close(saved);
}

/* Threads print in any order, each line once. */
static void check(void)
{
    bool *seen = calloc(program.size, sizeof(*seen));
    char line[256], expected[256];
    size_t lines = 0;

    if (!seen)
        fail("no host memory");
    rewind(capture);
    while (fgets(line, sizeof(line), capture)) {
        int i = -1;

        if (sscanf(line, "line %d:", &i) != 1 || i < 0 || (size_t)i >= program.size || seen[i])
            fail("unexpected output: %s", line);
        snprintf(expected, sizeof(expected), "line %d: %s %c %u %x %5.2f %lld %%\n", i,
                 i & 1 ? "odd" : "even", 'a' + i % 26, i * 3u, i * 17u, i * 0.25,
                 -(long long)i * 4294967296ll);
        if (strcmp(line, expected) != 0)
            fail("printed %s, expected %s", line, expected);
        seen[i] = true;
        lines++;
    }
    if (lines != program.size)
        fail("%zu lines came out, expected %zu", lines, program.size);
    free(seen);
}

static void teardown(void)
{
    fclose(capture);
}

int main(int argc, char **argv)
{
    static const struct program p = {
        .name = "printf",
        .usage = "--size: lines, at most 2000",
        .ptx = printf_ptx,
        .default_size = 100,
        .setup = setup,
        .job = job,
        .check = check,
        .teardown = teardown,
    };

    return program_main(&p, argc, argv);
}
