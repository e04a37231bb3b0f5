
/*
 * What the agent needs of an operating system: the whole contract.  linux_*.c
 * and win32_*.c fulfil it; nothing else in agent/ includes a system header or
 * asks which system it runs on.
 *
 * Functions that return int give 0 for success and a PLAT_E* otherwise, unless
 * said.  Paths are UTF-8.  Nothing here logs.
 */

#ifndef VMOPS_PLATFORM_H
#define VMOPS_PLATFORM_H


#include <stddef.h>
#include <stdint.h>


#define PLAT_PATH_MAX    1024

#define PLAT_E           (-1)    /* any other failure */
#define PLAT_ENOENT      (-2)    /* there is no such file */
#define PLAT_EEXIST      (-3)    /* there is one already */
#define PLAT_ETOOBIG     (-4)    /* does not fit */
#define PLAT_EBUSY       (-5)    /* another process holds it */
#define PLAT_ENOTTY      (-6)    /* there is no terminal to ask on */
#define PLAT_EOPEN       (-7)    /* others than its owner can use it */


typedef struct plat_mutex_s   plat_mutex_t;
typedef struct plat_cond_s    plat_cond_t;
typedef struct plat_thread_s  plat_thread_t;
typedef struct plat_waker_s   plat_waker_t;
typedef struct plat_lock_s    plat_lock_t;


/*
 * First call of a program: no core dumps, no other user can read what it
 * creates, a broken pipe is an error and not a signal.
 */
int plat_init(void);

/*
 * Goes on in the background: the calling program ends with 0, without the
 * terminal the rest goes on.  Before any thread is started.
 */
int plat_detach(void);

/* This process, as the system's own tools know it. */
uint64_t plat_process_id(void);

/* "linux" or "windows", as POST /agents/register names it */
const char *plat_name(void);

/* The host's name, at most size - 1 bytes; "localhost" if unknown. */
void plat_hostname(char *name, size_t size);


/* --- files --------------------------------------------------------------- */

/*
 * The default folders of this user: configuration and state.  A service
 * manager's folders win over the user's.
 */
int plat_default_dirs(char *config, char *state, size_t size);

/* Makes a folder and its parents, for its owner only. */
int plat_make_dirs(const char *path);

/*
 * 0; PLAT_ENOENT: there is no such folder; PLAT_E: this user cannot read it;
 * PLAT_EOPEN: others may write to it.
 */
int plat_look_dir(const char *path);

/* Reads a whole file of at most size bytes; PLAT_ENOENT, PLAT_ETOOBIG. */
int plat_read_file(const char *path, void *data, size_t size, size_t *len);

/* The same for a file with a key: PLAT_EOPEN if others may read it. */
int plat_read_private(const char *path, void *data, size_t size, size_t *len);

/* The same for one that protects: PLAT_EOPEN if others may write it. */
int plat_read_trusted(const char *path, void *data, size_t size, size_t *len);

/*
 * Replaces a file as one step that survives a power cut: temporary file in
 * the same folder, fsync, rename, fsync of the folder.  Owner-only.
 */
int plat_write_file(const char *path, const void *data, size_t len);

/*
 * Removes the temporary files that plat_write_file() left in a folder when it
 * was killed: those which nobody can be writing any more.
 */
void plat_remove_left(const char *folder);

/* Renames without ever replacing: PLAT_EEXIST. */
int plat_rename_new(const char *from, const char *to);

/* Renames, replacing what is there. */
int plat_rename(const char *from, const char *to);

int plat_remove(const char *path);

/* The path from the root, of a file that exists. */
int plat_full_path(const char *path, char full[PLAT_PATH_MAX]);

/* A number that changes when the file does; 0 if there is none. */
uint64_t plat_file_stamp(const char *path);

/* The one running instance of a home: PLAT_EBUSY while another holds it. */
int plat_lock(const char *path, plat_lock_t **lock);
void plat_unlock(plat_lock_t *lock);


/* --- clocks -------------------------------------------------------------- */

uint64_t plat_wall_ms(void);       /* Unix time */
uint64_t plat_boot_ms(void);       /* since boot, counting suspend */
uint64_t plat_suspended_ms(void);  /* time spent in suspend since boot */


/* --- threads ------------------------------------------------------------- */

/* Out of memory or threads: NULL. */
plat_mutex_t *plat_mutex_new(void);
void plat_mutex_free(plat_mutex_t *mutex);
void plat_mutex_lock(plat_mutex_t *mutex);
void plat_mutex_unlock(plat_mutex_t *mutex);

plat_cond_t *plat_cond_new(void);
void plat_cond_free(plat_cond_t *cond);
void plat_cond_broadcast(plat_cond_t *cond);
/* May return early; PLAT_WAIT_FOREVER for no limit. */
void plat_cond_wait(plat_cond_t *cond, plat_mutex_t *mutex, uint64_t ms);
#define PLAT_WAIT_FOREVER  UINT64_MAX

/* Sleeps; a signal may end it early. */
void plat_sleep(uint64_t ms);

plat_thread_t *plat_thread_start(void (*run)(void *data), void *data);
void plat_thread_join(plat_thread_t *thread);


/* --- waiting ------------------------------------------------------------- */

#define PLAT_READABLE  0x1
#define PLAT_WRITABLE  0x2
#define PLAT_WOKEN     0x4
#define PLAT_NETWORK   0x8     /* addresses or routes have changed */

/*
 * A waker ends one thread's plat_wait() from any other thread, and from the
 * handler of a stop signal.
 */
plat_waker_t *plat_waker_new(void);
void plat_waker_free(plat_waker_t *waker);
void plat_wake(plat_waker_t *waker);

/* From now on changes of the network end the wait, too; failure is silent. */
void plat_watch_network(plat_waker_t *waker);

/* SIGINT, SIGTERM, SIGHUP (or the console's events) set the flag and wake. */
void plat_watch_stop(plat_waker_t *waker);
int plat_stop_asked(void);

#define PLAT_NO_SOCKET  ((intptr_t) -1)

/*
 * Waits for the socket (PLAT_NO_SOCKET: for none), the waker or the time;
 * events are PLAT_READABLE and PLAT_WRITABLE.  Returns what happened, 0 when
 * the time is over.  An error of the socket shows as readable.
 */
unsigned plat_wait(intptr_t sock, unsigned events, plat_waker_t *waker,
    uint64_t ms);


typedef enum {
    PLAT_NET_OTHER = 0,
    PLAT_NET_REFUSED,       /* the host answered that nothing listens */
    PLAT_NET_NO_ROUTE,      /* the network or the host cannot be reached */
    PLAT_NET_TIMEOUT
} plat_net_error_t;

/* What a socket's error number (libcurl's CURLINFO_OS_ERRNO) means. */
plat_net_error_t plat_net_error(long number);


/* --- terminal ------------------------------------------------------------ */

/* Whether a person can be asked. */
int plat_has_terminal(void);

/*
 * Writes the question to the terminal, not to standard output, and reads one
 * line, without its end, NUL-terminated.  Secret: without echo, through no
 * other buffer than the caller's.  PLAT_ENOTTY, PLAT_ETOOBIG; PLAT_E when the
 * person gave up.
 */
int plat_ask(const char *question, char *answer, size_t size);
int plat_ask_secret(const char *question, char *answer, size_t size);

/*
 * Standard input up to its end (at most size - 1 bytes, PLAT_ETOOBIG), one
 * trailing line end removed, NUL-terminated; through no other buffer.
 */
int plat_read_stdin(char *data, size_t size, size_t *len);


/* --- key wrapping -------------------------------------------------------- */

#define PLAT_WRAP_KEY   32     /* bytes of the key that is wrapped */
#define PLAT_WRAP_MAX   512    /* bytes of its wrapped form */

/*
 * A way to wrap a file's key; id is written into the file, so a later version
 * with a better way still opens it.  dir is where a way may keep a file of
 * its own.  wrap: 0 or not.  unwrap: 0; PLAT_E if the key cannot be had back at
 * all; anything else if it only failed now.
 */
typedef struct {
    uint8_t      id;
    const char  *name;
    int        (*wrap)(const char *dir, const uint8_t key[PLAT_WRAP_KEY],
                       uint8_t *wrapped, size_t *len);
    int        (*unwrap)(const char *dir, const uint8_t *wrapped, size_t len,
                         uint8_t key[PLAT_WRAP_KEY]);
} plat_wrap_t;

/* The ways of this system, best first, ended by a NULL name. */
extern const plat_wrap_t  plat_wraps[];


#endif /* VMOPS_PLATFORM_H */
