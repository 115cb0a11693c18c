# A driver that says what no log should show as it is.
set(talker_dir ${CMAKE_BINARY_DIR}/tests/talker_plugins)
configure_file(${CMAKE_SOURCE_DIR}/tests/fakes/talker/talker.yaml ${talker_dir}/talker.yaml COPYONLY)
add_library(talker MODULE ${CMAKE_SOURCE_DIR}/tests/fakes/talker/talker.c)
target_include_directories(talker PRIVATE ${CMAKE_SOURCE_DIR}/sdk/include)
target_link_libraries(talker PRIVATE magnum_flags)
set_target_properties(talker PROPERTIES PREFIX "" C_VISIBILITY_PRESET hidden
  LIBRARY_OUTPUT_DIRECTORY ${talker_dir})
magnum_add_system_test(logs TIMEOUT 600)
