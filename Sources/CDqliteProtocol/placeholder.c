#include "CDqliteProtocol.h"
