/* The crash plan: when PID 1 itself faults, it hands what must not be lost to a fresh image of
 * itself, by exec: the process keeps its number, its children, and the descriptors that are passed
 * on. The services do not notice.
 *
 * The handler runs on a stack of its own, allocates nothing and takes no lock: it writes plain
 * records into a memfd (never a file: secrets are among them), seals it and calls execveat(2). A
 * fault while it does so leaves the records without their end; then the pod ends and says why.
 *
 * One fault: adopted, and on it goes. A second one within CRASH_WINDOW_MS: adopted, and an orderly
 * stop with status 128+n. A third one: the end at once. */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/core/buf.h"

#define CRASH_WINDOW_MS 60000
#define CRASH_TEXT      320

struct supervisor;

struct crash_fault {
    int signal, code; /* si_signo, si_code */
    uint64_t address; /* si_addr, of real faults */
    uint64_t pc;      /* of the instruction, as an offset into the program; 0: unknown */
    uint64_t at_ms;   /* monotonic */
    uint32_t count;   /* with those of the last minute before it; at least 1 */
};

/* Catches the signals of faults from here on. `last`: the fault that this image follows, or NULL.
 */
void crash_arm(struct supervisor *sv, const struct crash_fault *last);

/* The descriptor that the image before this one left, with what happened to it; -1: there was
 * none. Takes the variable that names it out of the environment. */
int crash_inherited(struct crash_fault *ret);

/* Takes over what is in `fd`, and closes it. Never fails: what cannot be taken over ends the pod,
 * with the reason. */
void crash_adopt(struct supervisor *sv, int fd, const struct crash_fault *fault);

/* Says what was sent to PID 1 by others: no fault of its own, and ignored. */
void crash_report_strangers(struct supervisor *sv);

/* "SIGSEGV at address 0x0, program offset 0x1234, build 01ab…" */
void crash_text(const struct crash_fault *f, char out[CRASH_TEXT]);

/* --- records, written in the handler --- */
enum crash_record {
    CRASH_HEAD,
    CRASH_SECRET,      /* row as uint32_t, then the value */
    CRASH_SECRET_FILE, /* row as uint32_t, then the path that <NAME>_FILE gave */
    CRASH_PLAN,
    CRASH_VOLUMES,
    CRASH_SERVICE,   /* struct saved_service, service_adopt.c */
    CRASH_NOTE,      /* of the service before it: key, NUL, text */
    CRASH_LINE,      /* of the service before it, what it has begun: stream, split, then the text */
    CRASH_OUTPUT,    /* what stdout has not taken yet */
    CRASH_HELD_JSON, /* lines that wait until it is known in which form they are wanted */
    CRASH_HELD_TEXT,
    CRASH_END,
    CRASH_RECORD_MAX,
};
void crash_put(int fd, enum crash_record type, const void *data, size_t len);
/* The same, of two parts. */
void crash_put2(int fd, enum crash_record type, const void *a, size_t a_len, const void *b,
                size_t b_len);
/* The descriptor shall live on in the next image, or (`keep` false) not. */
void crash_keep_fd(int fd, bool keep);

/* --- service_adopt.c --- */
/* In the handler. */
void services_save(const struct supervisor *sv, int fd);
/* One record; the service is appended to the list. One that is in no plan any more, or for which
 * there is no memory, is let go, and its guard ends it; what is missing then starts anew. 0, or
 * -EBADMSG. */
int service_adopt(struct supervisor *sv, const void *data, size_t len);
void service_adopt_note(const char *data, size_t len);
void service_adopt_line(const char *data, size_t len);
/* When all are there: what happened meanwhile, timers, checks; starts what was still to be started.
 */
void services_adopted(struct supervisor *sv);
