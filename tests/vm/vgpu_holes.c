// SPDX-License-Identifier: Apache-2.0
/*
 * vgpu_holes FILE MIB - fragments memory: gives back every other page of the file's last MIB
 *
 * The file is in tmpfs, so its pages are memory.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int main(int argc, char **argv)
{
    struct stat st;
    int fd = argc == 3 ? open(argv[1], O_RDWR) : -1;

    if (fd < 0 || fstat(fd, &st)) {
        perror("vgpu_holes");
        return 1;
    }
    off_t first = st.st_size - 2 * (strtoll(argv[2], NULL, 0) << 20);

    for (off_t offset = first < 0 ? 0 : first; offset < st.st_size; offset += 8192)
        if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, 4096)) {
            perror("vgpu_holes: fallocate");
            return 1;
        }
    return 0;
}
