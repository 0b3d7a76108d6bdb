#include "forward.cpp"  // a source of its own, as builds made at once must not share an object
