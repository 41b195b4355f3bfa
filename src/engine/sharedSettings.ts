// Which of DuckDB's settings belong to a session, and which to all of them. DuckDB does not say (`duckdb_settings().scope` reads
// GLOBAL for most); this was measured with 1.5.6 by setting each on one connection and reading it on others. The test of this
// file fails when a DuckDB comes that knows a setting which is in neither list: then it is to be measured.

/** Seen by the connection that sets it, and by no other. */
export const ownSettings: ReadonlySet<string> = new Set(
  `asof_loop_join_threshold binary_as_string calendar custom_profiling_settings debug_asof_iejoin debug_force_external
  debug_force_no_cross_product deprecated_using_key_syntax disable_parquet_prefetching disable_timestamptz_casts
  dynamic_or_filter_threshold enable_caching_operators enable_geoparquet_conversion enable_http_logging enable_profiling
  enable_progress_bar enable_progress_bar_print errors_as_json explain_output file_search_path home_directory
  http_logging_output ieee_floating_point_ops ignore_unknown_crs integer_division lambda_syntax late_materialization_max_rows
  log_query_path max_expression_depth merge_join_threshold nested_loop_join_threshold order_by_non_integer_literal
  ordered_aggregate_threshold parquet_metadata_cache partitioned_write_flush_threshold partitioned_write_max_open_files
  perfect_ht_threshold pivot_filter_threshold pivot_limit prefer_range_joins prefetch_all_parquet_files
  preserve_identifier_case profile_output profiling_coverage profiling_mode profiling_output progress_bar_time
  scalar_subquery_error_on_multiple_rows schema search_path streaming_buffer_size timezone`.split(/\s+/),
);

/** One value for the whole instance: a session that changes it changes it for all, for ever. */
export const sharedSettings: ReadonlySet<string> = new Set(
  `__delta_only_variant_encoding_enabled access_mode allocator_background_threads allocator_bulk_deallocation_flush_threshold
  allocator_flush_threshold allow_community_extensions allow_extensions_metadata_mismatch allow_parser_override_extension
  allow_persistent_secrets allow_unredacted_secrets allow_unsigned_extensions allowed_configs allowed_directories
  allowed_paths arrow_large_buffer_size arrow_lossless_conversion arrow_output_list_view arrow_output_version
  auto_checkpoint_skip_wal_threshold autoinstall_extension_repository autoinstall_known_extensions autoload_known_extensions
  block_allocator_memory catalog_error_max_schemas checkpoint_threshold current_transaction_invalidation_policy
  custom_extension_repository custom_user_agent debug_checkpoint_abort debug_checkpoint_scan_sleep_ms
  debug_checkpoint_sleep_ms debug_eviction_queue_sleep_micro_seconds debug_physical_table_scan_execution_strategy
  debug_skip_checkpoint_on_commit debug_verify_blocks debug_verify_vector debug_window_mode default_block_size
  default_collation default_null_order default_order default_secret_storage disable_database_invalidation
  disabled_compression_methods disabled_filesystems disabled_log_types disabled_optimizers duckdb_api enable_external_access
  enable_external_file_cache enable_fsst_vectors enable_http_metadata_cache enable_logging enable_macro_dependencies
  enable_object_cache enable_optimistic_write enable_view_dependencies enabled_log_types experimental_metadata_reuse
  extension_directories extension_directory external_threads force_bitpacking_mode force_column_metadata_reuse
  force_compression force_mbedtls_unsafe force_variant_shredding geometry_minimum_shredding_size http_proxy
  http_proxy_password http_proxy_username immediate_transaction_mode index_scan_max_count index_scan_percentage
  lock_configuration logging_level logging_mode logging_storage max_memory max_temp_directory_size max_vacuum_tasks
  memory_limit null_order old_implicit_casting password pin_threads preserve_insertion_order produce_arrow_string_view
  scheduler_process_partial secret_directory storage_block_prefetch storage_compatibility_version temp_directory
  temp_file_encryption threads user username vacuum_rebuild_indexes validate_external_file_cache
  variant_minimum_shredding_size wal_autocheckpoint wal_autocheckpoint_entries warnings_as_errors worker_threads
  write_buffer_row_group_count write_buffer_row_group_memory_limit zstd_min_string_length`.split(/\s+/),
);

/** PRAGMAs that take no value and change what all sessions share. */
export const sharedPragmas: ReadonlySet<string> = new Set([
  'disable_checkpoint_on_shutdown',
  'enable_checkpoint_on_shutdown',
  'disable_object_cache',
  'enable_object_cache',
  'import_database',
]);

/** Functions that do the same: logging and the parser are the instance's. */
export const sharedFunctions: ReadonlySet<string> = new Set([
  'enable_logging',
  'disable_logging',
  'truncate_duckdb_logs',
  'enable_peg_parser',
  'disable_peg_parser',
]);

/** Not even an admin: without the file system the next checkpoint is fatal, and a locked configuration stops Cuckoo's own. */
export const fatalSettings: ReadonlySet<string> = new Set(['disabled_filesystems', 'lock_configuration']);
