
/* Folders and files. */

#define _GNU_SOURCE          /* mkostemp() */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "platform/platform.h"
#include "vmops_banned.h"


#define TEMPORARY  ".tmp-"
#define LEFT_S     3600     /* a write takes less */
#define WRITABLE   (S_IWGRP | S_IWOTH)

struct plat_lock_s {
    int  fd;
};


static int
dir_of(char *path, size_t size, const char *var, const char *home,
    const char *rest)
{
    const char  *base = getenv(var);
    int          n;

    /* XDG Base Directory Specification: a relative path is to be ignored */
    if (base != NULL && base[0] == '/') {
        n = snprintf(path, size, "%s/vmops", base);

    } else if (home != NULL && home[0] == '/') {
        n = snprintf(path, size, "%s/%s/vmops", home, rest);

    } else {
        return PLAT_E;
    }

    return n > 0 && (size_t) n < size ? 0 : PLAT_ETOOBIG;
}


int
plat_default_dirs(char *config, char *state, size_t size)
{
    const char  *c = getenv("CONFIGURATION_DIRECTORY");
    const char  *s = getenv("STATE_DIRECTORY");
    const char  *home = getenv("HOME");

    /* systemd.exec(5): set for a unit with ConfigurationDirectory= etc. */
    if (c != NULL && s != NULL && c[0] == '/' && s[0] == '/') {
        if (strlen(c) >= size || strlen(s) >= size) {
            return PLAT_ETOOBIG;
        }

        snprintf(config, size, "%s", c);
        snprintf(state, size, "%s", s);
        return 0;
    }

    if (dir_of(config, size, "XDG_CONFIG_HOME", home, ".config") != 0) {
        return PLAT_E;
    }

    return dir_of(state, size, "XDG_STATE_HOME", home, ".local/state");
}


int
plat_make_dirs(const char *path)
{
    char         buf[PLAT_PATH_MAX];
    char        *p;
    struct stat  st;

    if ((size_t) snprintf(buf, sizeof(buf), "%s", path) >= sizeof(buf)) {
        return PLAT_ETOOBIG;
    }

    for (p = buf + 1; *p != '\0'; p++) {
        if (*p == '/') {
            *p = '\0';
            if (mkdir(buf, 0700) != 0 && errno != EEXIST) {
                return PLAT_E;
            }
            *p = '/';
        }
    }

    if (mkdir(buf, 0700) != 0 && errno != EEXIST) {
        return PLAT_E;
    }

    return stat(buf, &st) == 0 && S_ISDIR(st.st_mode) ? 0 : PLAT_E;
}


int
plat_look_dir(const char *path)
{
    struct stat  st;

    if (stat(path, &st) != 0) {
        return errno == ENOENT || errno == ENOTDIR ? PLAT_ENOENT : PLAT_E;
    }

    if (!S_ISDIR(st.st_mode)) {
        return PLAT_ENOENT;
    }

    if (access(path, R_OK | X_OK) != 0) {
        return PLAT_E;
    }

    return st.st_mode & WRITABLE ? PLAT_EOPEN : 0;
}


static int
read_fd(int fd, void *data, size_t size, size_t *len)
{
    char      more;
    ssize_t   n;
    uint8_t  *p = data;

    *len = 0;

    for ( ;; ) {
        n = *len < size ? read(fd, p + *len, size - *len) : read(fd, &more, 1);

        if (n < 0) {
            if (errno == EINTR) {
                continue;
            }
            return PLAT_E;
        }
        if (n == 0) {
            return 0;
        }
        if (*len == size) {
            return PLAT_ETOOBIG;
        }

        *len += (size_t) n;
    }
}


static int
read_path(const char *path, void *data, size_t size, size_t *len,
    mode_t refused)
{
    int          fd, rc;
    struct stat  st;

    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? PLAT_ENOENT : PLAT_E;
    }

    if (fstat(fd, &st) != 0) {
        rc = PLAT_E;

    } else if (st.st_mode & refused) {
        rc = PLAT_EOPEN;

    } else {
        rc = read_fd(fd, data, size, len);
    }

    close(fd);

    return rc;
}


int
plat_read_file(const char *path, void *data, size_t size, size_t *len)
{
    return read_path(path, data, size, len, 0);
}


int
plat_read_private(const char *path, void *data, size_t size, size_t *len)
{
    return read_path(path, data, size, len, S_IRWXG | S_IRWXO);
}


int
plat_read_trusted(const char *path, void *data, size_t size, size_t *len)
{
    return read_path(path, data, size, len, WRITABLE);
}


static int
write_all(int fd, const uint8_t *p, size_t len)
{
    ssize_t  n;

    while (len > 0) {
        n = write(fd, p, len);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return PLAT_E;
        }

        p += n;
        len -= (size_t) n;
    }

    return fsync(fd) == 0 ? 0 : PLAT_E;
}


static int
sync_dir(const char *path)
{
    int    fd, rc;
    char   dir[PLAT_PATH_MAX];
    char  *slash;

    snprintf(dir, sizeof(dir), "%s", path);
    slash = strrchr(dir, '/');

    if (slash == NULL) {
        snprintf(dir, sizeof(dir), ".");
    } else {
        slash[slash == dir] = '\0';
    }

    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return PLAT_E;
    }

    rc = fsync(fd) == 0 ? 0 : PLAT_E;
    close(fd);

    return rc;
}


int
plat_write_file(const char *path, const void *data, size_t len)
{
    int   fd, n, rc;
    char  tmp[PLAT_PATH_MAX];

    n = snprintf(tmp, sizeof(tmp), "%s" TEMPORARY "XXXXXX", path);
    if (n < 0 || (size_t) n >= sizeof(tmp)) {
        return PLAT_ETOOBIG;
    }

    fd = mkostemp(tmp, O_CLOEXEC);
    if (fd < 0) {
        return PLAT_E;
    }

    rc = write_all(fd, data, len);

    if (close(fd) != 0 || rc != 0 || rename(tmp, path) != 0) {
        unlink(tmp);
        return PLAT_E;
    }

    return sync_dir(path);
}


static int
is_left(int dir, const char *name)
{
    size_t       n = strlen(name), tail = strlen(TEMPORARY "XXXXXX");
    time_t       now = time(NULL);
    struct stat  st;

    return n > tail
           && memcmp(name + n - tail, TEMPORARY, strlen(TEMPORARY)) == 0
           && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0
           && S_ISREG(st.st_mode) && st.st_mtime < now - LEFT_S;
}


void
plat_remove_left(const char *folder)
{
    DIR            *dir = opendir(folder);
    struct dirent  *e;

    if (dir == NULL) {
        return;
    }

    while ((e = readdir(dir)) != NULL) {
        if (is_left(dirfd(dir), e->d_name)) {
            unlinkat(dirfd(dir), e->d_name, 0);
        }
    }

    closedir(dir);
}


int
plat_rename_new(const char *from, const char *to)
{
    if (link(from, to) != 0) {
        return errno == EEXIST ? PLAT_EEXIST
               : errno == ENOENT ? PLAT_ENOENT : PLAT_E;
    }

    return unlink(from) == 0 ? sync_dir(to) : PLAT_E;
}


int
plat_rename(const char *from, const char *to)
{
    if (rename(from, to) != 0) {
        return errno == ENOENT ? PLAT_ENOENT : PLAT_E;
    }

    return 0;
}


int
plat_remove(const char *path)
{
    if (unlink(path) != 0) {
        return errno == ENOENT ? PLAT_ENOENT : PLAT_E;
    }

    return 0;
}


int
plat_full_path(const char *path, char full[PLAT_PATH_MAX])
{
    int    rc;
    char  *found = realpath(path, NULL);

    if (found == NULL) {
        return errno == ENOENT ? PLAT_ENOENT : PLAT_E;
    }

    rc = (size_t) snprintf(full, PLAT_PATH_MAX, "%s", found) < PLAT_PATH_MAX
         ? 0 : PLAT_ETOOBIG;
    free(found);

    return rc;
}


uint64_t
plat_file_stamp(const char *path)
{
    uint64_t     stamp;
    struct stat  st;

    if (stat(path, &st) != 0) {
        return 0;
    }

    /* every write makes a new inode (plat_write_file), numbers get reused */
    stamp = (uint64_t) st.st_ino * 0x9e3779b97f4a7c15u;
    stamp ^= (uint64_t) st.st_mtim.tv_sec * 1000000000u
             + (uint64_t) st.st_mtim.tv_nsec;

    return stamp != 0 ? stamp : 1;
}


int
plat_lock(const char *path, plat_lock_t **lock)
{
    int  fd;

    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return PLAT_E;
    }

    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        return errno == EWOULDBLOCK ? PLAT_EBUSY : PLAT_E;
    }

    *lock = malloc(sizeof(**lock));
    if (*lock == NULL) {
        close(fd);
        return PLAT_E;
    }

    (*lock)->fd = fd;

    return 0;
}


void
plat_unlock(plat_lock_t *lock)
{
    if (lock != NULL) {
        close(lock->fd);
        free(lock);
    }
}
