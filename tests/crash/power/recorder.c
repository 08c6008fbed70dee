/* What a process does to the files of one directory, preloaded under it and written down in order.
 *
 * AMENDS_POWER_PLACE is the directory, AMENDS_POWER_LOG the file. A record is a header (the deed, the length of
 * the name, an offset, the length of the data, packed), the file's name within the directory, and the data:
 *   c  the file was made             w  data were written at the offset      t  it was cut to the offset
 *   u  its name was removed          s  its contents were flushed            d  the directory was flushed
 * A deed is recorded under one lock with the deed itself, so the records have the order of the deeds.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

struct __attribute__((packed)) header {
    char deed;
    uint16_t name_length;
    int64_t offset;
    uint64_t length;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char place[4096];
static size_t place_length;
static int journal = -1;

__attribute__((constructor)) static void prepare(void)
{
    const char *directory = getenv("AMENDS_POWER_PLACE");
    const char *path = getenv("AMENDS_POWER_LOG");
    if (!directory || !path || strlen(directory) >= sizeof place)
        return;
    strcpy(place, directory);
    place_length = strlen(place);
    journal = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* The name of a path within the directory: "" for the directory itself, NULL outside of it. */
static const char *within(const char *path)
{
    if (journal < 0 || strncmp(path, place, place_length))
        return NULL;
    path += place_length;
    if (*path == '\0')
        return path;
    return *path == '/' ? path + 1 : NULL;
}

static const char *name_of(int file, char *buffer, size_t size)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = journal < 0 ? -1 : readlink(link, buffer, size - 1);
    if (length < 0)
        return NULL;
    buffer[length] = '\0';
    return within(buffer);
}

static void record(char deed, const char *name, int64_t offset, const void *data, uint64_t length)
{
    struct header header = {deed, (uint16_t)strlen(name), offset, length};
    struct iovec parts[] = {
        {&header, sizeof header}, {(void *)name, strlen(name)}, {(void *)data, data ? length : 0}};
    if (writev(journal, parts, 3) < 0)
        abort();
}

static ssize_t written(int file, const void *data, ssize_t count, off64_t offset)
{
    char buffer[4096];
    const char *name = count > 0 ? name_of(file, buffer, sizeof buffer) : NULL;
    if (name)
        record('w', name, offset, data, (uint64_t)count);
    return count;
}

ssize_t pwrite(int file, const void *data, size_t size, off_t offset)
{
    pthread_mutex_lock(&lock);
    ssize_t count = written(file, data, REAL(pwrite)(file, data, size, offset), offset);
    pthread_mutex_unlock(&lock);
    return count;
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t offset)
{
    pthread_mutex_lock(&lock);
    ssize_t count = written(file, data, REAL(pwrite64)(file, data, size, offset), offset);
    pthread_mutex_unlock(&lock);
    return count;
}

ssize_t write(int file, const void *data, size_t size)
{
    pthread_mutex_lock(&lock);
    ssize_t count = REAL(write)(file, data, size);
    if (count > 0)
        written(file, data, count, lseek64(file, 0, SEEK_CUR) - count);
    pthread_mutex_unlock(&lock);
    return count;
}

static int done(char deed, int file, int result, off64_t offset)
{
    char buffer[4096];
    const char *name = result == 0 ? name_of(file, buffer, sizeof buffer) : NULL;
    if (name)
        record(*name ? deed : 'd', name, offset, NULL, 0);
    return result;
}

int ftruncate(int file, off_t size)
{
    pthread_mutex_lock(&lock);
    int result = done('t', file, REAL(ftruncate)(file, size), size);
    pthread_mutex_unlock(&lock);
    return result;
}

int ftruncate64(int file, off64_t size)
{
    pthread_mutex_lock(&lock);
    int result = done('t', file, REAL(ftruncate64)(file, size), size);
    pthread_mutex_unlock(&lock);
    return result;
}

int fsync(int file)
{
    pthread_mutex_lock(&lock);
    int result = done('s', file, 0, 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int fdatasync(int file)
{
    return fsync(file);
}

int unlink(const char *path)
{
    pthread_mutex_lock(&lock);
    int result = REAL(unlink)(path);
    const char *name = result == 0 ? within(path) : NULL;
    if (name)
        record('u', name, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}

static int opened(int (*real)(const char *, int, ...), const char *path, int flags, mode_t mode)
{
    pthread_mutex_lock(&lock);
    const char *name = flags & O_CREAT ? within(path) : NULL;
    int missing = name && access(path, F_OK);
    int file = real(path, flags, mode);
    if (missing && file >= 0)
        record('c', name, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return file;
}

int open(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    return opened(REAL(open), path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    return opened(REAL(open64), path, flags, mode);
}
