/*
 * A fuzz target without a fuzzer: each file of the given folders is fed to it
 * once, in memory of exactly its size.  Prints how many there were.
 */

#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>


int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);


static int
feed(const char *path, size_t size)
{
    int       rc = -1;
    FILE     *f;
    uint8_t  *p;

    f = fopen(path, "rb");
    if (f == NULL) {
        return -1;
    }

    p = malloc(size > 0 ? size : 1);

    if (p != NULL && fread(p, 1, size, f) == size) {
        (void) LLVMFuzzerTestOneInput(p, size);
        rc = 0;
    }

    free(p);
    fclose(f);

    return rc;
}


/* how many files there were, or -1 */

static int
replay(const char *folder)
{
    int             n = 0;
    DIR            *dir;
    char            path[PATH_MAX];
    struct stat     st;
    struct dirent  *entry;

    dir = opendir(folder);
    if (dir == NULL) {
        perror(folder);
        return -1;
    }

    while (n >= 0 && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.') {
            continue;
        }

        if (snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name)
            >= (int) sizeof(path)
            || stat(path, &st) != 0 || feed(path, (size_t) st.st_size) != 0)
        {
            perror(path);
            n = -1;
            break;
        }

        n++;
    }

    closedir(dir);

    return n;
}


int
main(int argc, char **argv)
{
    int  i, n, all = 0;

    for (i = 1; i < argc; i++) {
        n = replay(argv[i]);
        if (n < 0) {
            return 1;
        }
        all += n;
    }

    printf("%d\n", all);

    return 0;
}
