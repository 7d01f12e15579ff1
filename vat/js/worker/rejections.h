// Rejections that nobody handles.
#pragma once
#include <quickjs.h>
#include <stdbool.h>

// Follows the rejections of a runtime from now on.
void rejections_follow(JSRuntime *runtime);
// Reports the rejections that nobody handles, and forgets them. Returns false if there are none. What it calls may
// leave jobs and further rejections.
bool rejections_report(JSContext *ctx);
