-- Health of a ChatAgent for Argo CD. Installed as docs/gitops.md says; the interpreter there has no
-- string and no math library.
local function health(status, message)
  return {status = status, message = message or ""}
end

local spec = obj.spec or {}
local status = obj.status
if status == nil or status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "the operator has not reconciled the current spec yet")
end

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local function is(aspect, value)
  return conditions[aspect] ~= nil and conditions[aspect].status == value
end

if spec.suspend then
  return health("Suspended", "spec.suspend is true, so the agent is not reconciled; set it to false to continue")
end
if is("Accepted", "False") then
  return health("Degraded", conditions.Accepted.message)
end
if is("Degraded", "True") then
  return health("Degraded", conditions.Degraded.message)
end
if is("Stalled", "True") then
  return health("Degraded", conditions.Stalled.message)
end
if status.failedRevision ~= nil then
  -- An abort by a command, too: the revision that is desired in Git is not the stable one.
  local message = "revision " .. status.failedRevision .. " is rolled back: "
  return health("Degraded", message .. (status.failedMessage or status.failedReason or "see status"))
end
if is("Paused", "True") then
  return health("Suspended", conditions.Paused.message)
end
if is("Progressing", "True") then
  return health("Progressing", conditions.Progressing.message)
end
if is("Reconciling", "True") then
  return health("Progressing", conditions.Reconciling.message)
end
if is("Ready", "True") then
  return health("Healthy", conditions.Ready.message)
end
if is("Ready", "False") then
  return health("Progressing", conditions.Ready.message)
end
return health("Progressing", "the status has no conditions yet")
