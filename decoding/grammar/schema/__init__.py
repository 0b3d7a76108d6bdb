"""stand-in"""
import json
from typing import Any
class SchemaLanguage:
    def __init__(self, schema: Any) -> None: self.schema = schema
    @classmethod
    def compile(cls, schema: Any, *, whitespace: bool) -> "SchemaLanguage": return cls(schema)
    def lark(self, prefix: str, start: str = "start") -> str:
        s = dict(self.schema); s["x-guidance"] = {"whitespace_flexible": False}
        return f"{start}: %json {json.dumps(s)}\n"
    def canonical(self, text: str) -> str | None: return json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False)
