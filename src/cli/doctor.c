#include "cli/cli.h"
extern const struct verb verb_doctor;
const struct verb verb_doctor = {.name = "doctor", .arguments = "", .summary = "", .examples = ""};
