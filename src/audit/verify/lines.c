#include "audit/verify/lines.h"

#include <string.h>

enum audit_line_kind audit_line_next(struct audit_line_reader *reader)
{
    bool overlong = false;
    reader->len = 0;
    flockfile(reader->stream);
    int c;
    while ((c = getc_unlocked(reader->stream)) != EOF && c != '\n') {
        if (reader->len < AUDIT_LINE_MAX)
            reader->text[reader->len++] = (char)c;
        else
            overlong = true;
    }
    funlockfile(reader->stream);
    reader->text[reader->len] = '\0';
    if (c == EOF && reader->len == 0)
        return AUDIT_LINE_END;
    reader->number++;
    if (c == EOF)
        return AUDIT_LINE_UNFINISHED;
    return overlong ? AUDIT_LINE_OVERLONG : AUDIT_LINE;
}
