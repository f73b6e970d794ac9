/* Which channels the app is in, direct messages included. */
#pragma once

struct slack;

/* Part of whoever asks, which must outlive the connector's calls or be freed with them. */
struct channel_list {
    struct slack *s;
    void (*each)(void *data, const char *channel);
    void (*done)(void *data); /* also when not all of them could be read, which is logged */
    void *data;
    unsigned left; /* so many at most */
};

/* Exactly one `done`, perhaps at once. */
void channel_list_read(struct channel_list *l, unsigned max);
