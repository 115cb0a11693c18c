magnum_add_program(magnum-conductor
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/magnum-conductor.c ${CMAKE_CURRENT_LIST_DIR}/service.c
  LINKS magnum_conductor magnum_db magnum_http magnum_http_client magnum_config magnum_base PkgConfig::systemd COMPONENT conductor)
