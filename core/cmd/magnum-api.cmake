magnum_add_program(magnum-api
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/magnum-api.c ${CMAKE_CURRENT_LIST_DIR}/service.c
  LINKS magnum_api magnum_auth magnum_http_client magnum_rpc magnum_db magnum_config magnum_base PkgConfig::systemd COMPONENT api)
