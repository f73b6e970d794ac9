/* A library that an agent gets loaded somewhere: leaves in the file MARK where it runs and what is
 * in that process's environment. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

__attribute__((constructor)) static void loaded(void)
{
    char text[65536], name[17] = "";
    (void)prctl(PR_GET_NAME, name);
    int n = snprintf(text, sizeof text, "%s %s\n",
                     strcmp(name, "opencode") == 0 ? "module in" : "program", name);
    for (char **v = environ; *v && n < (int)sizeof text - 1; v++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%s\n", *v);
    int fd = open(MARK, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd >= 0) {
        (void)!write(fd, text, strlen(text));
        (void)close(fd);
    }
}
