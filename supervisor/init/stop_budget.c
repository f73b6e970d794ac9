#include "supervisor/init/stop_budget.h"

uint64_t stop_reserve(uint64_t budget_ms)
{
    return budget_ms / 5 < 1000 ? budget_ms / 5 : 1000;
}

struct stop_need stop_share(const struct stop_need *needs, size_t count, uint64_t left_ms)
{
    uint64_t sum = 0, usable = left_ms - stop_reserve(left_ms);
    for (size_t i = 0; i < count; i++)
        sum += (uint64_t)needs[i].hook_ms + needs[i].grace_ms;
    if (!count)
        return (struct stop_need){ 0, 0 };
    if (sum <= usable)
        return needs[0];
    return (struct stop_need){
        .hook_ms = (uint32_t)(needs[0].hook_ms * usable / sum),
        .grace_ms = (uint32_t)(needs[0].grace_ms * usable / sum),
    };
}
