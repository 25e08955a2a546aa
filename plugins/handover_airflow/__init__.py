"""The edge to Airflow: what a DAG file needs so that it holds nothing but wiring."""
