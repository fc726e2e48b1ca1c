# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""What Envoy refuses before prom-label-proxy sees it: the two things that it gets wrong (see entrance.py).

Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

import json
from typing import Any

# Of a request its path with the query, and its body, decoded once as prom-label-proxy does. A list of labels has names
# and commas only. What cannot be looked at is refused.
FILTER = """local LISTS = {"on", "ignoring", "group_left", "group_right"}

local function why_refused(text)
  text = text:gsub("+", " "):gsub("%%(%x%x)", function(code) return string.char(tonumber(code, 16)) end):lower()
  if text:find("scalar", 1, true) then
    return "The function scalar() is not let through here."
  end
  for _, list in ipairs(LISTS) do
    local begin = "%f[%w_:]" .. list .. "%s*"
    if text:find(begin .. "#") or text:find(begin .. "%([%w_:,%s]*[^%w_:,%s)]") then
      return "After " .. list .. " only plain names of labels are let through here."
    end
  end
end

function envoy_on_request(handle)
  local text = handle:headers():get(":path") or ""
  local body = handle:body()
  if body then
    text = text .. "\\n" .. body:getBytes(0, body:length())
  end
  local ran, reason = pcall(why_refused, text)
  if not ran then
    reason = "The query cannot be looked at."
  end
  if reason then
    handle:respond(
      {[":status"] = "400", ["content-type"] = "application/json"},
      '{"status":"error","errorType":"bad_data","error":"' .. reason .. '"}'
    )
  end
end
"""


def filter_configuration(listening: int, next_port: int) -> str:
    """Envoy's configuration, as JSON.

    Args:
        listening: the port on the loopback at which it listens.
        next_port: the one of what comes after it.
    """
    extensions = "type.googleapis.com/envoy.extensions.filters"
    lua = {"@type": f"{extensions}.http.lua.v3.Lua", "default_source_code": {"inline_string": FILTER}}
    router = {"@type": f"{extensions}.http.router.v3.Router"}
    route = {"match": {"prefix": "/"}, "route": {"cluster": "label", "timeout": "0s"}}
    manager = {
        "@type": f"{extensions}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "queries",
        "route_config": {"virtual_hosts": [{"name": "queries", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {"name": "envoy.filters.http.lua", "typed_config": lua},
            {"name": "envoy.filters.http.router", "typed_config": router},
        ],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    endpoint = {"lb_endpoints": [{"endpoint": {"address": _loopback(next_port)}}]}
    label = {
        "name": "label",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "label", "endpoints": [endpoint]},
    }
    listener = {"name": "queries", "address": _loopback(listening), "filter_chains": [chain]}
    return json.dumps({"static_resources": {"listeners": [listener], "clusters": [label]}}, indent=2) + "\n"


def _loopback(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
