/*
 * Calls of libc that cannot be used safely, or not by us: naming one of them
 * fails to compile.  Every .c file includes this header after all others.
 *
 * Instead: vmops_buf_t and vmops_jw_t for output that is bounded, snprintf
 * for a number in a fixed buffer, vmops_dec_parse for numbers from outside.
 */

#ifndef VMOPS_BANNED_H
#define VMOPS_BANNED_H

/* glibc has these as macros */
#undef alloca
#undef strdupa
#undef strndupa

#pragma GCC poison strcpy strncpy stpcpy stpncpy strcat strncat
#pragma GCC poison sprintf vsprintf gets strtok
#pragma GCC poison sscanf fscanf vsscanf vfscanf vscanf
#pragma GCC poison atoi atol atoll atof
#pragma GCC poison alloca strdupa strndupa
#pragma GCC poison tmpnam tempnam mktemp system
#pragma GCC poison asctime ctime localtime gmtime
#pragma GCC poison bcopy bzero rand srand

#endif /* VMOPS_BANNED_H */
