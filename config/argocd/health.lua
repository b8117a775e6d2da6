-- Health of a SentimentService for Argo CD, in Lua 5.1 without any library. docs/gitops.md says how to install it.
-- `obj` is the object; the result has a status that Argo CD knows, and the message that it shows.

local function health(status, message)
  return { status = status, message = message }
end

local status = obj.status or {}
local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local ready = conditions.Ready

if ready == nil then
  return health("Progressing", "the operator has not reported yet")
end
if status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "the operator has yet to take up the current spec")
end
if ready.status == "True" then
  return health("Healthy", ready.message)
end
if ready.reason == "Suspended" then
  return health("Suspended", ready.message)
end
if conditions.Stalled ~= nil and conditions.Stalled.status == "True" then
  return health("Degraded", ready.reason .. ": " .. ready.message)
end
return health("Progressing", ready.reason .. ": " .. ready.message)
