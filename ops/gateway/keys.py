"""Whose key it is, for the proxy (`general_settings.custom_auth`): sk-team-NAME is a key of the team NAME.

Other keys are refused as the proxy itself, with a database or without one, and a check of one's own refuse them.
"""
from fastapi import HTTPException
from litellm.proxy._types import UserAPIKeyAuth
from litellm.proxy.auth.resolvers.exceptions import KeyNotFoundError

TEAM = "sk-team-"


async def check(request, api_key):
    if api_key and api_key.startswith(TEAM):
        team = api_key.removeprefix(TEAM)
        return UserAPIKeyAuth(api_key=api_key, key_alias=f"{team}'s key", team_id=f"id of {team}", team_alias=team,
                              user_id="ada")
    if api_key == "sk-deleted":
        raise KeyNotFoundError("hash")
    if api_key == "malformed":
        raise HTTPException(401, "LiteLLM Virtual Key expected. Received=malf****rmed, expected to start with 'sk-'.")
    if api_key == "sk-not-ours":
        raise Exception("not one of ours")
    # The proxy's own check: it has no database.
    return api_key or ""
