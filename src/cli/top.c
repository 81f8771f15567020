#include "cli/cli.h"
extern const struct verb verb_top;
const struct verb verb_top = {.name = "top", .arguments = "", .summary = "", .examples = ""};
