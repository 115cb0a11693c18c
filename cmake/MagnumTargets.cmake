# magnum_add_module(name SOURCES ... LINKS ...): one core folder as one static library.
# magnum_add_program(name SOURCES ... LINKS ... [COMPONENT c]): one executable in build/<preset>/bin,
#   installed with that component (common).
# magnum_add_test(name RING ring SOURCES ... LINKS ... [TIMEOUT s] [ARGS ...]): one CUnit executable,
#   registered in CTest as <ring>/<name> with label <ring>.
# What a user runs, without the tests: every installed program and plugin.
add_custom_target(programs)

function(magnum_add_module name)
  cmake_parse_arguments(A "" "" "SOURCES;LINKS" ${ARGN})
  add_library(${name} STATIC ${A_SOURCES})
  target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR}/core ${CMAKE_SOURCE_DIR}/sdk/include
                             ${CMAKE_SOURCE_DIR}/sdk)
  target_link_libraries(${name} PUBLIC magnum_flags ${A_LINKS})
endfunction()

function(magnum_add_program name)
  cmake_parse_arguments(A "NO_INSTALL" "DESTINATION;COMPONENT" "SOURCES;LINKS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/core ${CMAKE_SOURCE_DIR}/sdk/include
                             ${CMAKE_SOURCE_DIR}/sdk)
  target_link_libraries(${name} PRIVATE magnum_flags ${A_LINKS})
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_link_options(${name} PRIVATE -pie)
  if(NOT A_NO_INSTALL)
    if(NOT A_DESTINATION)
      set(A_DESTINATION ${CMAKE_INSTALL_BINDIR})
    endif()
    if(NOT A_COMPONENT)
      set(A_COMPONENT common)
    endif()
    install(TARGETS ${name} RUNTIME DESTINATION ${A_DESTINATION} COMPONENT ${A_COMPONENT})
    set_target_properties(${name} PROPERTIES MAGNUM_COMPONENT ${A_COMPONENT})
    add_dependencies(programs ${name})
  endif()
endfunction()

function(magnum_add_test name)
  cmake_parse_arguments(A "" "RING;TIMEOUT" "SOURCES;LINKS;ARGS" ${ARGN})
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 300) # a hang, not a measure
  endif()
  set(target test_${A_RING}_${name})
  add_executable(${target} ${A_SOURCES})
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR}/core ${CMAKE_SOURCE_DIR}/sdk/include
                             ${CMAKE_SOURCE_DIR}/sdk ${CMAKE_SOURCE_DIR}/tests)
  target_link_libraries(${target} PRIVATE magnum_flags ${A_LINKS} PkgConfig::cunit)
  add_test(NAME ${A_RING}/${name} COMMAND ${target} ${A_ARGS})
  set_tests_properties(${A_RING}/${name} PROPERTIES LABELS ${A_RING} TIMEOUT ${A_TIMEOUT}
    ENVIRONMENT "MAGNUM_SOURCE_DIR=${CMAKE_SOURCE_DIR};MAGNUM_BUILD_DIR=${CMAKE_BINARY_DIR}")
endfunction()
