"""The generated description of the API, where a client's types come from."""

from drf_spectacular.generators import SchemaGenerator


def test_ids_in_addresses_are_uuids() -> None:
    paths = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    found = {
        f"{path} {parameter['name']}": parameter["schema"]
        for path, calls in paths.items()
        for call in calls.values()
        for parameter in call.get("parameters", ())
        if parameter["in"] == "path"
    }
    assert "/api/follows/{followee_id} followee_id" in found
    assert set(map(str, found.values())) == {str({"type": "string", "format": "uuid"})}
