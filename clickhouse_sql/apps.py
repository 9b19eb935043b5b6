from django.apps import AppConfig


class ClickhouseSqlConfig(AppConfig):
    name = "clickhouse_sql"
