/* SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Preloaded into the sanlock of one host: its CLOCK_MONOTONIC is behind by the nanoseconds in the
 * file $CLOCK_STOOD_FILE, as if the host had been suspended for so long.
 *
 * Everything is declared by hand, so the compiler alone is enough, without the C library's headers.
 */

#define CLOCK_MONOTONIC 1
#define O_RDONLY_CLOEXEC 02000000
#define RTLD_NEXT ((void *)-1L)
#define NS_PER_S 1000000000LL

struct timespec {
	long tv_sec;
	long tv_nsec;
};

extern void *dlsym(void *, const char *);
extern char *getenv(const char *);
extern int open(const char *, int, ...);
extern long read(int, void *, unsigned long);
extern int close(int);
extern long long strtoll(const char *, char **, int);
extern void abort(void);

/* A clock that cannot be set back shows nothing, so the process ends then. */
static long long stood_ns(void)
{
	char text[32];
	int fd = open(getenv("CLOCK_STOOD_FILE"), O_RDONLY_CLOEXEC);
	long length = read(fd, text, sizeof(text) - 1);

	if (length <= 0)
		abort();
	close(fd);
	text[length] = 0;
	return strtoll(text, 0, 10);
}

int clock_gettime(int id, struct timespec *now)
{
	int (*next)(int, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
	long long ns;

	if (next(id, now))
		return -1;
	if (id == CLOCK_MONOTONIC) {
		ns = now->tv_sec * NS_PER_S + now->tv_nsec - stood_ns();
		now->tv_sec = ns / NS_PER_S;
		now->tv_nsec = ns % NS_PER_S;
	}
	return 0;
}
