/* What stands between the two marker lines of SECURITY.md, and the lines themselves: for tests/requirements. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/policy/requirements.h"

int main(void)
{
    char *text = requirements_text();
    if (text == NULL)
        return 1;
    const int done = printf("%s%s%s", REQUIREMENTS_BEGIN, text, REQUIREMENTS_END);
    free(text);
    return done < 0 || fflush(stdout) != 0;
}
