magnum_add_program(magnum-status
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/magnum-status.c ${CMAKE_CURRENT_LIST_DIR}/status_checks.c
    ${CMAKE_CURRENT_LIST_DIR}/status_health.c
  LINKS magnum_db magnum_drivers magnum_certs magnum_rpc magnum_http_client magnum_config
    magnum_base PkgConfig::smartcols)
