/* door_seeds DIR: one well-formed request and answer of each kind, for fuzz_door to begin from. */
#include <stdio.h>
#include <stdlib.h>

#include "door_samples.h"

static void save(const char *dir, const char *kind, int op, const struct byte_writer *message)
{
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s-%d", dir, kind, op);
    FILE *file = fopen(path, "wb");
    if (file == NULL || message->failed ||
        fwrite(message->data, 1, message->len, file) != message->len || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    static uint8_t room[DOOR_MESSAGE_MAX];
    static struct keys_entry page[DOOR_KEYS_PER_PAGE];
    static struct door_request request;
    static struct door_answer answer;
    if (argc != 2)
        return 1;
    for (int op = DOOR_SEAL; op < DOOR_OP_END; op++) {
        struct byte_writer out = writer_of(room, sizeof room);
        door_sample_request((enum door_op)op, &request);
        (void)door_write_request(&request, &out, NULL);
        save(argv[1], "request", op, &out);
        out = writer_of(room, sizeof room);
        door_sample_answer((enum door_op)op, page, &answer);
        if (op == DOOR_KEYS)
            answer.keys.count = 2;
        (void)door_write_answer(&answer, &out, NULL);
        save(argv[1], "answer", op, &out);
    }
    return 0;
}
